/* What tiers put into nearer remotes behind the caller's back: copies on their way, and one thread. */
#ifndef KACHE_REMOTE_FILL_H
#define KACHE_REMOTE_FILL_H

#include "remote/remote.h"

struct kache_fill;

/* Stores a copy in one remote; false: it could not. */
typedef bool kache_fill_put(void *arg, size_t tier, struct kb_key key, struct kb_source *src, int cancel_fd);
/* A copy for that remote will not be stored, for there are too many already. */
typedef void kache_fill_drop(void *arg, size_t tier);

struct kache_fill *kache_fill_new(const char *dir, kache_fill_put *put, kache_fill_drop *drop, void *arg);
/* Gives what is under way a moment, then cancels it. NULL is fine. */
void kache_fill_free(struct kache_fill *f);
/* Takes fd, a whole object. tiers: bit per remote. */
void kache_fill_add(struct kache_fill *f, struct kb_key key, int fd, uint64_t size, uint64_t tiers);
/* The object was found to be worth nothing: copies of it that wait are let go. */
void kache_fill_forget(struct kache_fill *f, struct kb_key key);
/* True: nothing is under way any more; false: the deadline came first. */
bool kache_fill_wait(struct kache_fill *f, uint64_t deadline_ns);

/* A sink before the caller's that keeps a copy if wanted, and sees the answer begin. */
struct kache_tee {
	struct kb_sink kb;		/* hand &kb on */
	struct kb_sink *to;
	struct kache_call *call;	/* gets full_ns as its deadline when the answer begins */
	uint64_t full_ns;
	int copy;			/* -1: none */
	uint64_t size;			/* of the copy */
};
void kache_tee_init(struct kache_tee *t, struct kb_sink *to, struct kache_call *call, uint64_t full_ns);
/* From now on with a copy, where that is possible. */
void kache_tee_copy(struct kache_tee *t, const struct kache_fill *f);
/* The copy, for kache_fill_add; -1: none. */
int kache_tee_take(struct kache_tee *t);

#endif
