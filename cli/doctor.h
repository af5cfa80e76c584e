/* The parts of kache doctor: each looks at one thing and says what it found. */
#ifndef KACHE_CLI_DOCTOR_H
#define KACHE_CLI_DOCTOR_H

#include "base/buf.h"
#include "conf/conf.h"
#include "store/store.h"

#include <stdbool.h>

enum kache_doctor_level {
	KACHE_DOCTOR_OK,
	KACHE_DOCTOR_NOTE,	/* worth knowing; no harm done */
	KACHE_DOCTOR_BAD	/* makes the exit status 1 */
};

struct kache_finding {
	enum kache_doctor_level level;
	const char *name;	/* static */
	char *text;
	char *advice;		/* what to do, or NULL */
};

struct kache_doctor {
	struct kache_conf *conf;	/* NULL: could not be loaded */
	struct kache_store *store;	/* NULL: none, or it can't be opened */
	bool verify, checksums, repair;
	struct kache_finding *v;
	size_t n, cap;
};

/* Adds a finding. advice is copied; NULL for none. */
void kache_doctor_say(struct kache_doctor *d, enum kache_doctor_level level, const char *name, const char *advice,
		      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* doctor-store.c. The first opens the store where there is one; the others do nothing without. */
void kache_doctor_directory(struct kache_doctor *d);
void kache_doctor_filesystem(struct kache_doctor *d);
void kache_doctor_space(struct kache_doctor *d);
void kache_doctor_map(struct kache_doctor *d);
void kache_doctor_contents(struct kache_doctor *d);
void kache_doctor_index(struct kache_doctor *d);

/* doctor-wiring.c */
void kache_doctor_wrapper(struct kache_doctor *d);
void kache_doctor_tools(struct kache_doctor *d);
void kache_doctor_observer(struct kache_doctor *d);
void kache_doctor_backends(struct kache_doctor *d);
void kache_doctor_clock(struct kache_doctor *d);

/* doctor-remote.c: a line for each remote. */
void kache_doctor_remote(struct kache_doctor *d);

#endif
