/* A remote: a backend behind layers, as one object. What the rest of the program works with.
 *
 *	stats -> gate (mode, size, prefix) -> breaker -> negative -> coalesce -> chunk -> retry -> limit -> attempt
 *	-> backend (handles, thread model)
 *
 * The gate comes before the breaker since what it refuses says nothing of the remote; the limit below the retry, so
 * that a pause holds no place; the time of a call is set by its maker (kache_remote_deadline) and bounds all of it.
 *
 * Operations return enum kb_status; a negative one has its text in call->err. Their contracts are those
 * of the slots in kache/backend.h, except that keys are without the remote's prefix and that passing
 * failures have been repeated already. Any number of threads may use one remote. */
#ifndef KACHE_REMOTE_REMOTE_H
#define KACHE_REMOTE_REMOTE_H

#include "base/err.h"
#include "conf/conf.h"
#include "kache/backend.h"
#include "remote/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct kache_remote;
typedef int kache_remote_each(void *arg, struct kb_key key, const struct kb_stat *st);

struct kache_remote_ops {
	const char *layer;
	void (*close)(struct kache_remote *r);	/* releases this layer only */
#define REMOTE_OP(name, params, args) int (*name) params;
#include "remote/ops.def"
#undef REMOTE_OP
};

struct kache_remote {			/* one layer; the outermost stands for the whole */
	const struct kache_remote_ops *ops;
	struct kache_remote *next;	/* NULL for the innermost */
	void *ctx;
};

struct kache_remote_stats {
	atomic_ullong hits, misses, stored, existed, retries, too_big, errors;
	atomic_ullong bytes_in, bytes_out;	/* of objects */
	/* Parts of errors. */
	atomic_ullong passing, timeouts, refused, no_space, corrupt, local, other;
	/* Answers that did not need the remote (remembered, shared), and calls that were not let through to it
	 * (left alone, no turn in time); neither is an error. */
	atomic_ullong spared, held_back;
	/* Gets and puts that the remote answered without an error, and the time they took with their repetitions. */
	atomic_ullong get_n, get_us, put_n, put_us;
};

enum kache_health_state { KACHE_HEALTH_OK, KACHE_HEALTH_GIVEN_UP, KACHE_HEALTH_DISABLED };

struct kache_health {			/* what the breaker knows; under the lock */
	pthread_mutex_t lock;
	enum kache_health_state state;	/* GIVEN_UP: it failed too often; DISABLED: credentials, settings */
	bool writes_disabled;
	bool patient;			/* see kache_remote_patient */
	unsigned outages;
	char last_error[KACHE_ERROR_MAX];	/* "" for none */
	int64_t last_error_s;		/* since the epoch */
	uint64_t (*clock)(void);	/* for tests; NULL: the monotonic one */
};

struct kache_remote_info {
	const char *backend;		/* its name */
	const char *url;		/* for people: no secrets */
	const char *prefix;
	bool writable;			/* mode and backend allow it */
	bool can_list, can_head;
	uint64_t max_object;		/* 0: none known */
};

/* Opens the remote of url, or the nearest one of the configuration where url is NULL; for all of them
 * see remote/tiers.h. Options of configured remotes are not used for url. *out is for
 * kache_remote_close. deadline_ns and cancel_fd bound the opening. */
int kache_remote_open(const struct kache_conf *conf, const char *url, uint64_t deadline_ns, int cancel_fd,
		      struct kache_remote **out, struct kache_error *err);
/* A configured one. *status is the backend's answer, KB_E_CONFIG where it was not even asked. */
int kache_remote_open_one(const struct kache_conf *conf, const struct kache_conf_remote *which, struct kache_call *call,
			  struct kache_remote **out, int *status, struct kache_error *err);

struct kache_remote_hints {		/* what is known of a remote that was not asked yet */
	char *url;			/* for people; fresh memory */
	const char *backend;
	bool writable, can_list, can_head;	/* at best */
	uint64_t timeout_ms;		/* for the beginning of an answer; 0: unset */
	uint64_t transfer_ms;
};
/* Checks URL and options without connecting to anything. */
int kache_remote_check(const struct kache_conf *conf, const struct kache_conf_remote *which, struct kache_remote_hints *out,
		       struct kache_error *err);
/* Fails saying why there is no remote. */
int kache_remote_none(const struct kache_conf *conf, struct kache_error *err);
/* No operation may be running. NULL is fine. */
void kache_remote_close(struct kache_remote *r);
const struct kache_remote_info *kache_remote_info(const struct kache_remote *r);
struct kache_remote_stats *kache_remote_stats(const struct kache_remote *r);
struct kache_health *kache_remote_health(const struct kache_remote *r);
/* From now on operations wait, as long as they have time, for the first pause of an outage to pass, and are then made
 * again: for who has a lot to move and nobody waiting. Others are told at once. */
void kache_remote_patient(struct kache_remote *r);
/* "ok", "given up", "disabled", "writes disabled". */
const char *kache_remote_state(const struct kache_remote *r);
/* The deadline of an operation that starts now and moves that many bytes. */
uint64_t kache_remote_deadline(const struct kache_remote *r, uint64_t bytes);

#define REMOTE_OP(name, params, args) int kache_remote_##name params;
#include "remote/ops.def"
#undef REMOTE_OP

#endif
