/* The crsh backend: storage that a helper program reaches.
 *
 * ccache's storage helpers (ccache-storage-https, ccache-storage-redis, ...) are programs in any language.
 * One is started on demand with its settings in the environment, listens on a Unix socket, serves any
 * number of connections and ends by itself when nobody has needed it for a while. Protocol: version 1 of
 * ccache's "remote storage helper specification". All numbers are in the machine's own byte order. */
#ifndef KACHE_BACKENDS_CRSH_H
#define KACHE_BACKENDS_CRSH_H

#include "kache/backend.h"

#include <stdbool.h>

enum { CRSH_BUFFER = 128 << 10, CRSH_KEY = 32, CRSH_MESSAGE_MAX = 255 };
enum { CRSH_CAP_GET_PUT_REMOVE = 0, CRSH_CAP_INFO = 1, CRSH_CAP_EXISTS = 2 };
enum { CRSH_GET = 0, CRSH_PUT = 1, CRSH_REMOVE = 2, CRSH_EXISTS = 5 };
enum { CRSH_OK = 0, CRSH_NOOP = 1, CRSH_ERR = 2 };
enum { CRSH_OVERWRITE = 1 };

extern const struct kb_host *crsh_host;

struct crsh_attribute { char *key, *value; };

/* What a helper is started with, and where it listens. */
struct crsh_settings {
	char *url;			/* the helper's; NULL: nothing is started */
	char *scheme;			/* of url */
	char *helper;			/* path or name as it was set, NULL: ccache-storage-<scheme> */
	char *program;			/* the file to run */
	char *socket;			/* where it listens */
	char *query;			/* that part of url which is a setting of its own, NULL: none */
	struct crsh_attribute *attributes;
	size_t n_attributes;
	uint64_t idle_s;
};

/* KB_OK, KB_E_CONFIG or KB_E_LOCAL. Nothing is looked for yet: program is NULL, socket only set if named. */
int crsh_settings_read(const kb_conf *, struct crsh_settings *, struct kb_call *);
void crsh_settings_release(struct crsh_settings *);
/* Sets program and socket, makes the sockets' directory. KB_OK, KB_E_CONFIG or KB_E_LOCAL. */
int crsh_find(struct crsh_settings *, struct kb_call *);
/* Does a text from outside hold one of the settings' secrets? */
bool crsh_tells(const struct crsh_settings *, const char *text);

struct kb_handle {
	struct crsh_settings settings;
	int fd;				/* -1: not connected */
	bool used;			/* has carried a request: the helper may have ended since */
	bool answered;			/* a byte has come since the request */
	unsigned caps;			/* bit n: capability n */
	unsigned char *in;		/* CRSH_BUFFER bytes, those from at to end not looked at yet */
	size_t at, end;
};

/* Each closes the connection when it fails; KB_E_TRANSIENT, _TIMEOUT, _CANCELLED, _LOCAL. */
int crsh_send(struct kb_handle *, const void *data, size_t len, struct kb_call *);
int crsh_fill(struct kb_handle *, struct kb_call *);	/* at least one byte more */
int crsh_read(struct kb_handle *, void *to, size_t len, struct kb_call *);
void crsh_drop(struct kb_handle *);
/* *fd stays -1 with KB_OK if nobody listens there: none (no such socket), refused (one that is dead), busy. */
enum crsh_absent { CRSH_NONE, CRSH_REFUSED, CRSH_BUSY };
int crsh_connect(const char *path, int *fd, enum crsh_absent *why, struct kb_call *);
/* Until fd (-1: none) is ready or `until` is over: KB_OK; _TIMEOUT or _CANCELLED. */
int crsh_wait(int fd, short events, uint64_t until, struct kb_call *);
int crsh_pause(unsigned ms, struct kb_call *);
uint64_t crsh_now(void);

/* A connected socket in *fd, from a helper that is there or that is started now. */
int crsh_reach(const struct crsh_settings *, int *fd, struct kb_call *);
/* Runs it, detached from this process. */
int crsh_start(const struct crsh_settings *, int *pid, struct kb_call *);

/* Connected, with the greeting read. */
int crsh_ready(struct kb_handle *, struct kb_call *);
/* The name that helpers see: a hash, since some make file names of it. */
int crsh_key(struct kb_key key, unsigned char out[CRSH_KEY], struct kb_call *);
/* What a helper's message means. */
int crsh_message_status(const char *message);

int crsh_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int crsh_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int crsh_del(struct kb_handle *, struct kb_key, struct kb_call *);
int crsh_ping(struct kb_handle *, struct kb_limits *, struct kb_call *);

#endif
