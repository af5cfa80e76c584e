/* The memcached backend.
 *
 * libmemcached decides which server a key belongs to, so that objects lie where every other client with
 * ketama looks for them. It does not talk to the servers: its calls can't be told to stop when a deadline
 * passes or a descriptor becomes readable, and it ends the process after a slip in the protocol. What is
 * said to a server, in the text or in the binary protocol, is said here over sockets of our own. */
#ifndef KACHE_BACKENDS_MEMCACHED_H
#define KACHE_BACKENDS_MEMCACHED_H

#include "kache/backend.h"

#include <libmemcached-1.0/memcached.h>
#include <stdbool.h>

enum {
	MEMCACHED_PORT = 11211,
	MEMCACHED_BUFFER = 128 << 10,
	MEMCACHED_KEY_MAX = 6 + KB_KEY_MAX,	/* "kache:" and the key; servers take 250 */
	MEMCACHED_FRAME_MAX = 5 + KB_KEY_MAX,
	MEMCACHED_REQUEST_MAX = 512,
	MEMCACHED_LOGIN_MAX = 250,	/* bytes of user and password together */
	/* What an item has besides its value: header, key, flags, frame. Generous, as it differs a little
	 * between the releases of the server. */
	MEMCACHED_ITEM_EXTRA = 1024
};

extern const struct kb_host *memcached_host;

struct memcached_address {
	char *name;			/* for texts: host:port or the socket's path */
	char *host;			/* without []; the path of a Unix socket */
	unsigned port;			/* 0: a Unix socket */
};

struct memcached_servers { struct memcached_address *list; size_t n; };

/* The servers of a URL (without its query). KB_OK, KB_E_CONFIG or KB_E_LOCAL. */
int memcached_url_parse(const char *url, struct memcached_servers *out, struct kb_call *call);
void memcached_servers_release(struct memcached_servers *);

/* One connection, made when it is needed. */
struct memcached_conn {
	const struct memcached_address *address;
	int fd;				/* -1: not connected */
	bool used;			/* has carried an operation: the server may have closed it since */
	bool answered;			/* a byte has come since memcached_conn_start */
	uint64_t down_until;		/* CLOCK_MONOTONIC; 0: not known to be down */
	uint64_t until;			/* an earlier end than the call's deadline; 0: none */
	uint64_t item_max;		/* the server's item_size_max, 0: not learned yet */
	unsigned char *in;		/* MEMCACHED_BUFFER bytes, those from at to end not looked at yet */
	size_t at, end;
	uint32_t opaque;		/* of the last request in the binary protocol */
};

/* Each of these closes the connection when it fails; KB_E_TRANSIENT, _TIMEOUT, _CANCELLED, _LOCAL. */
int memcached_conn_open(struct memcached_conn *, bool several, struct kb_call *);
int memcached_conn_send(struct memcached_conn *, const void *data, size_t len, bool more, struct kb_call *);
int memcached_conn_fill(struct memcached_conn *, struct kb_call *);	/* at least one byte more from at on */
int memcached_conn_need(struct memcached_conn *, size_t n, struct kb_call *);	/* n <= MEMCACHED_BUFFER / 2 */
int memcached_conn_line(struct memcached_conn *, char *line, size_t size, struct kb_call *);	/* without \r\n */
/* Before a request: an idle connection that has been closed, or that holds bytes nobody asked for, goes. */
void memcached_conn_start(struct memcached_conn *);
void memcached_conn_drop(struct memcached_conn *);
uint64_t memcached_now(void);
/* Addresses of a host; the search goes on in a thread of its own when the call has to end. */
struct addrinfo;
int memcached_resolve(const struct memcached_conn *, struct kb_call *, struct addrinfo **);
/* Waits for fd, or until `until` (0: the call's deadline). KB_OK with *ready, or _TIMEOUT, _CANCELLED. */
int memcached_wait(int fd, short events, uint64_t until, bool *ready, struct kb_call *);

enum memcached_op { MEMCACHED_GET, MEMCACHED_SET, MEMCACHED_ADD, MEMCACHED_DELETE, MEMCACHED_TOUCH,
		    MEMCACHED_STATS, MEMCACHED_LOGIN };

struct memcached_request {
	enum memcached_op op;
	const char *key;		/* of STATS: which ones; of LOGIN: the user */
	size_t key_len;
	uint32_t exptime;
	uint64_t value;			/* bytes that follow; of LOGIN: of the password */
};

/* One of the two protocols. */
struct memcached_wire {
	/* Writes the request up to its value; its length. */
	size_t (*request)(struct memcached_conn *, const struct memcached_request *, char buf[MEMCACHED_REQUEST_MAX]);
	const char *value_end;		/* what follows the value of SET and ADD */
	/* Reads the answer. KB_OK (of GET with the size of the value, which comes next), KB_MISS,
	 * KB_EXISTS, or an error; the connection is still good if it is open. */
	int (*reply)(struct memcached_conn *, const struct memcached_request *, uint64_t *size, struct kb_call *);
	int (*get_end)(struct memcached_conn *, struct kb_call *);	/* what follows the value of GET */
	/* One of the answers to STATS: KB_OK with name and value, KB_MISS behind the last. */
	int (*stat)(struct memcached_conn *, char name[64], char value[64], struct kb_call *);
};
extern const struct memcached_wire memcached_text, memcached_binary;
/* What the server said, as a status and a text. */
int memcached_refused(struct memcached_conn *, int status, const char *said, struct kb_call *);
/* A reply that can't be: the connection is closed. KB_E_TRANSIENT. */
int memcached_garbled(struct memcached_conn *, struct kb_call *);
/* What a line as "SERVER_ERROR out of memory storing object" means. */
int memcached_text_status(const char *line);

struct kb_handle {
	struct memcached_servers servers;
	struct memcached_conn *conns;	/* one for each server */
	memcached_st *placement;
	const struct memcached_wire *wire;
	char *user, *password;		/* NULL: none */
	int64_t ttl_s;			/* of objects that come without one; 0: none */
	uint64_t item_max;		/* setting; 0: as the server says */
};

/* The connection for a key, connected, logged in and with item_max known. */
int memcached_ready(struct kb_handle *, struct memcached_conn *, struct kb_call *);
uint64_t memcached_max_object(const struct kb_handle *, const struct memcached_conn *);
/* Relative up to 30 days, the time of day above: what the protocol wants. */
uint32_t memcached_exptime(int64_t ttl_s, int64_t now_s);
/* {magic, length of the key, key}: in front of every value. Its length. */
size_t memcached_frame(struct kb_key key, unsigned char buf[MEMCACHED_FRAME_MAX]);

int memcached_op_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int memcached_op_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int memcached_op_del(struct kb_handle *, struct kb_key, struct kb_call *);
int memcached_op_touch(struct kb_handle *, struct kb_key, int64_t ttl_s, struct kb_call *);

#endif
