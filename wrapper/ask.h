/* The remotes, as a compile sees them: a question to the daemon after a local miss. Nothing here ever fails a
 * build: whoever does not answer in time is left alone for a while. */
#ifndef KACHE_WRAPPER_ASK_H
#define KACHE_WRAPPER_ASK_H

#include "wrapper/call.h"

/* Whether there is a remote, and no reason to leave it alone now. */
bool kache_ask_possible(struct kache_call *c);
/* The remotes' manifest of this invocation. 0 with *m, else there is none to be had. */
int kache_ask_manifest(struct kache_call *c, struct kache_manifest *m);
/* 0 once the entry is in the store. */
int kache_ask_entry(struct kache_call *c, const struct kache_hash *result);
/* A new entry is in the store: puts it on the upload queue. */
void kache_ask_upload(struct kache_call *c, const struct kache_hash *result);
/* Ends the conversation; a process that ends does that too. */
void kache_ask_end(void);

#endif
