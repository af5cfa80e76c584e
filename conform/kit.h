/* kache-conform: what its groups share. A group is a list of points; each point is a sentence that holds or not. */
#ifndef KACHE_CONFORM_KIT_H
#define KACHE_CONFORM_KIT_H

#include "kache/backend.h"
#include "remote/host.h"
#include "remote/loader.h"
#include "remote/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kit {
	const char *path;		/* of the module */
	struct kache_module *m;
	const char *url;		/* with %proxy% replaced by the proxy's address while the proxy is in use */
	struct kache_conf_pair *pairs;	/* -o key=value but for url */
	size_t n_pairs;
	kb_conf *conf;
	kb_handle *h;			/* opened by main, shared by the groups; NULL if that failed */
	struct kb_limits limits;
	uint32_t caps;			/* effective: what the handle says but for --cap NAME=off */
	bool can_list, can_head, can_del, can_batch, can_touch;
	bool quick;
	unsigned settle_ms;		/* how long a store may take until it shows what was put */
	const char *proxy;		/* --proxy HOST:PORT: the server behind %proxy%; NULL: no faults group */
	char prefix[40];		/* of every key of this run, ends in '/' */
};

/* TAP. ok prints a point and returns whether it holds; skip prints one that can't be asked here. */
bool kit_ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kit_skip(const char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void kit_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The groups, each in its file. */
void kit_abi(struct kit *k);
void kit_conf(struct kit *k);
void kit_objects(struct kit *k);
void kit_streams(struct kit *k);
void kit_list(struct kit *k);
void kit_threads(struct kit *k);
void kit_faults(struct kit *k);
void kit_ops(struct kit *k);
/* Takes down what the process is like, before the module has been loaded. */
void kit_ops_begin(void);

/* ---- calls (calls.c): each with a deadline of its own and the module's name for its log lines ---- */

enum { KIT_MS = 30000 };

struct kit_call {			/* how a call is made; zeros: KIT_MS, no cancellation */
	unsigned ms;
	int cancel_fd;			/* 0: none */
	bool late;			/* the deadline has passed already */
};
extern char kit_text[KACHE_ERROR_MAX];	/* of the last failure in this thread's calls made through these */
int kit_get(struct kit *k, kb_handle *h, const char *key, struct kb_sink *sink, const struct kit_call *how);
int kit_put(struct kit *k, kb_handle *h, const char *key, struct kb_source *src, uint32_t flags, const struct kit_call *how);
int kit_del(struct kit *k, kb_handle *h, const char *key);
int kit_open(struct kit *k, kb_handle **h, struct kb_limits *limits, const struct kit_call *how);
/* Short forms: key without the run's prefix. */
int kit_give(struct kit *k, const char *key, const void *data, size_t len);
int kit_give_if_absent(struct kit *k, const char *key, const void *data, size_t len);
/* Into fresh memory; waits up to settle_ms for what is not there yet if `wait`. */
int kit_take(struct kit *k, const char *key, bool wait, char **data, size_t *len);
/* Whether the object is there and is this. */
bool kit_has(struct kit *k, const char *key, const void *data, size_t len);
bool kit_absent(struct kit *k, const char *key);
void kit_remove(struct kit *k, const char *key);
const char *kit_status(int rc);

/* Bytes that no compression and no luck gives; the same for the same seed. */
void kit_random(unsigned char *out, size_t len, uint64_t seed);
uint64_t kit_now_ms(void);
/* Open descriptors, threads of this process. */
unsigned kit_fds(void);
unsigned kit_threads_now(void);

/* ---- sources and sinks that misbehave (calls.c) ---- */

struct kit_source {
	struct kb_source kb;
	const unsigned char *data;
	uint64_t at;
	size_t most;			/* bytes per read; 0: as many as wanted */
	uint64_t fail_at;		/* read fails there; UINT64_MAX: never */
	uint64_t end_at;		/* the bytes end there, whatever kb.size says; UINT64_MAX: at kb.size */
	unsigned rewinds;
	bool past;			/* somebody read on after the end */
};
void kit_source_init(struct kit_source *s, const void *data, uint64_t size);

struct kit_sink {
	struct kb_sink kb;
	char *data;
	uint64_t len;
	unsigned begins;
	int begin_rc, write_rc;		/* what begin, or write, returns */
	bool early;			/* a write before begin */
};
void kit_sink_init(struct kit_sink *s, uint64_t limit);
void kit_sink_release(struct kit_sink *s);

/* ---- the proxy (proxy.c) ---- */

enum kit_fault {
	KIT_PASS, KIT_REFUSE, KIT_BLACK_HOLE, KIT_STALL, KIT_RESET, KIT_SLOW, KIT_GARBAGE, KIT_CLOSE_BETWEEN, KIT_TRUNCATE
};
/* A proxy to target ("host:port"); its own port, or 0. */
unsigned kit_proxy_start(const char *target);
/* From now on, also for connections that are open; existing ones are cut where `cut`. */
void kit_proxy_set(enum kit_fault fault, bool cut);
void kit_proxy_stop(void);

#endif
