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
enum { REDIS_SLOTS = 16384, REDIS_IN = 256 << 10, REDIS_OUT = 128 << 10 };

struct redis_url {			/* what a URL says; all fresh memory */
	enum redis_mode mode;
	bool tls;
	char *user, *password;		/* NULL: none */
	char **nodes;			/* "host:port", "[::1]:port" or "/path/of/socket", ended by NULL */
	size_t n_nodes;
	char *master;			/* of sentinel */
	unsigned database;
};

/* What an error reply was about, where more than its status matters. */
enum redis_said { REDIS_SAID_OTHER, REDIS_SAID_UNKNOWN_COMMAND, REDIS_SAID_NO_RIGHT, REDIS_SAID_REPLICA };

struct redis_conn {
	int fd;
	SSL *ssl;			/* over memory BIOs; NULL: plain */
	char *node;
	redisReader *reader;		/* of redis_reader */
	redisReplyObjectFunctions theirs, ours;
	size_t elements;		/* of the arrays in the reply that is being read */
	unsigned char *in;		/* REDIS_IN bytes, of which in_at to in_len are not taken yet */
	size_t in_at, in_len;
	unsigned char *out;		/* REDIS_OUT bytes, of which out_len wait to be sent */
	size_t out_len;
	uint64_t used_ns;
	uint64_t until;			/* when to give up, if that is before the call's deadline; 0: not set */
	bool broken;			/* not to be used again: a reply may be outstanding */
	bool more;			/* the last read filled its buffer: there is likely more */
	bool heard;			/* something has arrived since the request began */
	bool closed;			/* by the other side */
	char redirect[160];		/* "MOVED slot host:port" or "ASK …" of the last error reply */
	enum redis_said said;		/* what the last error reply was about */
	struct redis_conn *next;
};

struct kb_handle {
	struct redis_url url;
	SSL_CTX *tls;
	char *sni;
	uint64_t ttl_s, max_value;
	bool refresh;
	atomic_bool plain_get;		/* GETEX is not there, or not allowed */
	unsigned connections;
	pthread_mutex_t lock;		/* over everything below */
	struct redis_conn *idle;	/* the one used last comes first */
	char *master;			/* sentinel: who it is, NULL: ask */
	char **nodes;			/* cluster: who there is */
	size_t n_nodes;
	uint16_t *slots;		/* cluster: index into nodes, REDIS_NOBODY: not known */
};
#define REDIS_NOBODY 0xffffu

extern const struct kb_host *redis_host;
uint64_t redis_now(void);

/* url.c: KB_OK or KB_E_CONFIG; *out is to be released after both. */
int redis_url_parse(const char *text, struct redis_url *out, struct kb_call *call);
void redis_url_release(struct redis_url *u);

/* net.c: bytes. Every function here returns what its last wait returned, and marks the connection broken unless that
 * is KB_OK. */
int redis_fail(struct redis_conn *c, int status, const char *what, struct kb_call *call);
int redis_dial(struct kb_handle *h, struct redis_conn *c, struct kb_call *call);
/* Into the output buffer, which is sent when full, and before anything is read. */
int redis_out(struct redis_conn *c, const void *data, size_t len, struct kb_call *call);
/* Where the next *len > 0 bytes of output may be written; count them with out_len then. */
int redis_room(struct redis_conn *c, unsigned char **at, size_t *len, struct kb_call *call);
int redis_flush(struct redis_conn *c, struct kb_call *call);
int redis_fill(struct redis_conn *c, struct kb_call *call);
/* Whether a connection that nobody uses has been closed, or has said something unasked. */
bool redis_stale(const struct redis_conn *c);

/* conn.c. master: the server must not be a replica. */
int redis_connect(struct kb_handle *h, const char *node, bool master, struct kb_call *call, struct redis_conn **out);
void redis_disconnect(struct redis_conn *c);

/* resp.c: words and replies */
int redis_command(struct redis_conn *c, int n, const char *const *words, const size_t *lens, struct kb_call *call);
/* Makes c->reader, which does not believe in arrays without end. False without memory. */
bool redis_reader(struct redis_conn *c);
/* The next reply whole; *out is for freeReplyObject, and NULL after an error. */
int redis_read(struct redis_conn *c, redisReply **out, struct kb_call *call);
/* Likewise, where an error reply counts as error. `write`: of a command that writes. */
int redis_good(struct redis_conn *c, bool write, redisReply **out, struct kb_call *call);
/* A line of a reply without its end, up to cap - 1 bytes; and `most` raw bytes at most, as they are there. */
int redis_line(struct redis_conn *c, char *buf, size_t cap, struct kb_call *call);
int redis_some(struct redis_conn *c, const unsigned char **data, size_t most, size_t *len, struct kb_call *call);
/* What an error reply means; notes it in c. */
int redis_error(struct redis_conn *c, const char *text, bool write, struct kb_call *call);
/* After sending has failed: the error reply with which the server closed the connection, if there is one; else rc. */
int redis_last_words(struct redis_conn *c, int rc, bool write, struct kb_call *call);

/* nodes.c: which server, and its connections. */
typedef int redis_exchange(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call);
/* Runs it with a connection to the server of key (any, where key is empty), again once on a fresh one if a kept
 * connection was dead, and again where the cluster says. */
int redis_run(struct kb_handle *h, struct kb_key key, redis_exchange *run, void *arg, struct kb_call *call);
/* On every server of a cluster, else on the one there is, until it returns other than KB_OK. */
int redis_run_all(struct kb_handle *h, redis_exchange *run, void *arg, struct kb_call *call);
void redis_close_idle(struct kb_handle *h);

/* cluster.c */
unsigned redis_slot(const char *key, size_t len);
/* CLUSTER SLOTS of the first node that answers. */
int redis_learn_slots(struct kb_handle *h, struct kb_call *call);
/* The number of the node that has a key, REDIS_NOBODY if not known. */
unsigned redis_owner(struct kb_handle *h, struct kb_key key);
/* Who has it by name, learned if need be; fresh memory. */
int redis_cluster_node(struct kb_handle *h, struct kb_key key, char **out, struct kb_call *call);
/* Where the last error reply of c sends us; fresh memory or NULL. A slot that has moved is remembered. */
char *redis_redirected(struct kb_handle *h, const struct redis_conn *c, bool *asking);
void redis_forget_slot(struct kb_handle *h, struct kb_key key);

/* ops.c */
int redis_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int redis_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int redis_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
int redis_del(struct kb_handle *, struct kb_key, struct kb_call *);
int redis_touch(struct kb_handle *, struct kb_key, int64_t ttl_s, struct kb_call *);
int redis_ping(struct kb_handle *, struct kb_limits *, struct kb_call *);
/* Halves of them, for batches. */
struct redis_put {
	struct kb_key key;
	struct kb_source *src;
	bool if_absent;
	int64_t ttl_s;
};
int redis_send_get(struct kb_handle *h, struct redis_conn *c, struct kb_key key, bool *extends, struct kb_call *call);
int redis_take_value(struct redis_conn *c, struct kb_sink *sink, struct kb_call *call);
int redis_send_put(struct redis_conn *c, const struct redis_put *p, struct kb_call *call);
int redis_put_reply(struct redis_conn *c, struct kb_call *call);
/* After the error reply to a GETEX: whether a GET is to be tried instead, from now on. */
bool redis_gets_plainly(struct kb_handle *h, const struct redis_conn *c);
int redis_integer(struct redis_conn *c, bool write, long long *out, struct kb_call *call);

/* many.c: listings and batches */
int redis_list(struct kb_handle *, struct kb_key prefix, struct kb_call *,
	       int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);
int redis_batch(struct kb_handle *, struct kb_item *const *, size_t n, struct kb_call *);

#endif
