/* The redis backend: what its parts share. */
#ifndef KACHE_BACKENDS_REDIS_H
#define KACHE_BACKENDS_REDIS_H

#include "kache/backend.h"

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum redis_mode { REDIS_SINGLE, REDIS_CLUSTER, REDIS_SENTINEL };
enum { REDIS_SLOTS = 16384, REDIS_BUFFER = 128 << 10 };

struct redis_url {			/* what a URL says; all fresh memory */
	enum redis_mode mode;
	bool tls;
	char *user, *password;		/* NULL: none */
	char **nodes;			/* "host:port", "[::1]:port" or "/path/of/socket", ended by NULL */
	size_t n_nodes;
	char *master;			/* of sentinel */
	unsigned database;
};

struct redis_conn {
	int fd;
	SSL *ssl;			/* over memory BIOs; NULL: plain */
	char *node;
	redisReader *reader;
	unsigned char *in;		/* REDIS_BUFFER bytes, of which in_at to in_len are not taken yet */
	size_t in_at, in_len;
	uint64_t used_ns;
	bool broken;			/* not to be used again: a reply may be outstanding */
	bool more;			/* the last read filled its buffer: there is likely more */
	bool heard;			/* something has arrived since the request began */
	char redirect[128];		/* "MOVED slot host:port" or "ASK …" of the last error reply */
	bool readonly_reply;		/* the last error was READONLY: a replica */
	struct redis_conn *next;
};

struct kb_handle {
	struct redis_url url;
	SSL_CTX *tls;
	char *sni;
	bool insecure;
	uint64_t ttl_s, max_value;
	bool refresh;
	unsigned connections;
	pthread_mutex_t lock;		/* over everything below */
	struct redis_conn *idle;
	unsigned n_idle;
	char *master;			/* sentinel: who it is, NULL: ask */
	char **nodes;			/* cluster: who there is */
	size_t n_nodes;
	uint16_t *slots;		/* cluster: index into nodes, 0xffff: not known */
};

extern const struct kb_host *redis_host;
uint64_t redis_now(void);

/* url.c: KB_OK or KB_E_CONFIG. */
int redis_url_parse(const char *text, struct redis_url *out, struct kb_call *call);
void redis_url_release(struct redis_url *u);

/* conn.c */
int redis_connect(struct kb_handle *h, const char *node, struct kb_call *call, struct redis_conn **out);
void redis_disconnect(struct redis_conn *c);
int redis_send(struct redis_conn *c, const void *data, size_t len, struct kb_call *call);
/* Formats and sends a command of n words. */
int redis_command(struct redis_conn *c, int n, const char *const *words, const size_t *lens, struct kb_call *call);
/* The next reply whole; *out is for freeReplyObject. */
int redis_read(struct redis_conn *c, redisReply **out, struct kb_call *call);
/* A line of a reply without its end, up to cap - 1 bytes; and n raw bytes at most, as they are there. */
int redis_line(struct redis_conn *c, char *buf, size_t cap, struct kb_call *call);
int redis_some(struct redis_conn *c, const unsigned char **data, size_t most, size_t *len, struct kb_call *call);
/* What an error reply means; notes redirections in c. `write`: of a command that writes. */
int redis_error(struct redis_conn *c, const char *text, bool write, struct kb_call *call);
int redis_fail(struct redis_conn *c, int status, const char *what, struct kb_call *call);

/* nodes.c: which server, and its connections. */
typedef int redis_exchange(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call);
/* Runs it with a connection to the server of key (any, where key is empty), again once on a fresh one if a kept
 * connection was dead, and again where the cluster says. */
int redis_run(struct kb_handle *h, struct kb_key key, redis_exchange *run, void *arg, struct kb_call *call);
/* On every server of a cluster, else on the one there is, until it returns other than KB_OK. */
int redis_run_all(struct kb_handle *h, redis_exchange *run, void *arg, struct kb_call *call);
void redis_close_idle(struct kb_handle *h);
unsigned redis_slot(const char *key, size_t len);

/* ops.c */
int redis_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int redis_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int redis_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
int redis_del(struct kb_handle *, struct kb_key, struct kb_call *);
int redis_touch(struct kb_handle *, struct kb_key, int64_t ttl_s, struct kb_call *);
int redis_list(struct kb_handle *, struct kb_key prefix, struct kb_call *,
	       int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);
int redis_batch(struct kb_handle *, struct kb_item *const *, size_t n, struct kb_call *);
int redis_ping(struct kb_handle *, struct kb_limits *, struct kb_call *);

#endif
