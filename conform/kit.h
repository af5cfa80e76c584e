/* kache-conform: what its groups share. A group is a list of points; each point is a sentence that holds or not. */
#ifndef KACHE_CONFORM_KIT_H
#define KACHE_CONFORM_KIT_H

#include "kache/backend.h"
#include "remote/host.h"
#include "remote/loader.h"
#include "remote/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a process of its own saw of the module while it was loaded (probe.c). */
enum { KIT_PROBE_PLAIN, KIT_PROBE_FIRST, KIT_PROBE_LATER, KIT_PROBES };
struct kit_probe {
	bool made;			/* the process could be made */
	bool survived;			/* it came to its end */
	bool good;			/* the entry returned a table with the right magic */
	int fds, threads;		/* more than before */
	long io;			/* reads and writes during the entry; -1: not known here */
};

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
	bool proxy_unused;		/* no option has %proxy% in it */
	struct kit_probe probes[KIT_PROBES];
	atomic_uint asked, evicted;	/* objects looked for; those of them that a store with KB_CAP_MAY_EVICT had not */
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
/* Loads the module in children, with hosts of several versions. Before there are threads. */
void kit_probe(struct kit *k);
/* What a call costs that does not return: a thread ends the run then, as nothing more can be asked. */
void kit_watch_start(void);
int kit_watch_begin(uint64_t deadline_ns);
void kit_watch_end(int slot);
/* Prints a point that does not hold and leaves at once. */
_Noreturn void kit_bail(const char *what);

/* ---- calls (calls.c): each with a deadline of its own and the module's name for its log lines ---- */

enum { KIT_MS = 30000 };

struct kit_call {			/* how a call is made; zeros: KIT_MS, no cancellation, no life given */
	unsigned ms;
	int cancel_fd;			/* 0: none */
	bool late;			/* the deadline has passed already */
	int64_t ttl_s;			/* of put and touch */
};
extern _Thread_local char kit_text[KACHE_ERROR_MAX];	/* of this thread's last failure */
/* Keys are whole here. */
int kit_get(struct kit *k, kb_handle *h, const char *key, struct kb_sink *sink, const struct kit_call *how);
int kit_put(struct kit *k, kb_handle *h, const char *key, struct kb_source *src, uint32_t flags, const struct kit_call *how);
int kit_head_of(struct kit *k, kb_handle *h, const char *key, struct kb_stat *st, const struct kit_call *how);
int kit_del(struct kit *k, kb_handle *h, const char *key, const struct kit_call *how);
int kit_touch(struct kit *k, kb_handle *h, const char *key, const struct kit_call *how);
int kit_list_of(struct kit *k, kb_handle *h, const char *prefix, int (*each)(void *, struct kb_key, const struct kb_stat *),
		void *arg, const struct kit_call *how);
int kit_batch(struct kit *k, kb_handle *h, struct kb_item *const *items, size_t n, const struct kit_call *how);
int kit_ping(struct kit *k, kb_handle *h, struct kb_limits *limits, const struct kit_call *how);
int kit_open(struct kit *k, kb_handle **h, struct kb_limits *limits, const struct kit_call *how);
/* How many calls the host would make at the same time here, of `wanted`. */
unsigned kit_at_once(const struct kit *k, unsigned wanted);
/* How large an object of the tests may be, of `wanted`. */
size_t kit_size(const struct kit *k, size_t wanted);
/* Short forms: key without the run's prefix. */
int kit_give(struct kit *k, const char *key, const void *data, size_t len);
int kit_give_if_absent(struct kit *k, const char *key, const void *data, size_t len);
/* Into fresh memory; waits up to settle_ms for what is not there yet if `wait`. */
int kit_take(struct kit *k, const char *key, bool wait, char **data, size_t *len);
/* Whether the object is there and is this; one that was evicted counts as there. */
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

/* ---- sources and sinks that misbehave (flows.c) ---- */

struct kit_source {
	struct kb_source kb;
	const unsigned char *data;
	uint64_t at;
	size_t most;			/* bytes per read; 0: as many as wanted */
	uint64_t fail_at;		/* read fails there; UINT64_MAX: never */
	uint64_t end_at;		/* the bytes end there, whatever kb.size says; UINT64_MAX: at kb.size */
	bool at_end;			/* a read has said that this is the end */
	bool past;			/* somebody read on after that */
};
void kit_source_init(struct kit_source *s, const void *data, uint64_t size);

struct kit_sink {
	struct kb_sink kb;
	char *data;
	uint64_t len;
	unsigned begins;
	int begin_rc, write_rc;		/* what begin returns; what write returns, from byte refuse_at on */
	uint64_t refuse_at;
	bool early;			/* a write before begin */
	bool over;			/* more bytes than the limit came */
};
void kit_sink_init(struct kit_sink *s, uint64_t limit);
void kit_sink_release(struct kit_sink *s);

/* ---- the proxy (proxy.c) ---- */

enum kit_fault {
	KIT_PASS,
	KIT_REFUSE,			/* nobody listens */
	KIT_BLACK_HOLE,			/* takes connections and requests, and answers nothing */
	KIT_GARBAGE,			/* noise in place of each answer */
	KIT_CLOSE_BETWEEN,		/* ends each connection after some quiet */
	KIT_STALL, KIT_RESET, KIT_CUT, KIT_SLOW,	/* what comes from the server, after some hundred bytes */
	KIT_STALL_UP, KIT_RESET_UP, KIT_CUT_UP		/* what goes to the server, likewise */
};
/* A proxy to target ("host:port"); its own port, or 0. */
unsigned kit_proxy_start(const char *target);
/* From now on, also for connections that are open; `cut` resets those first. Returns once it is so. */
void kit_proxy_set(enum kit_fault fault, bool cut);
/* Connections that it has open. */
unsigned kit_proxy_pairs(void);
void kit_proxy_stop(void);

#endif
