/* The operations on single objects. */
#include "config.h"
#include "memcached.h"

#include <string.h>
#include <time.h>

#define PREFIX "kache:"
#define MAGIC "KMC1"
enum { PIECE = 64 << 10, MONTH_S = 30 * 24 * 3600 };

int memcached_refused(struct memcached_conn *c, int status, const char *said, struct kb_call *call)
{
	return memcached_host->fail(call, status, "%s says: %.150s", c->address->name, said);
}

int memcached_garbled(struct memcached_conn *c, struct kb_call *call)
{
	memcached_conn_drop(c);
	return memcached_host->fail(call, KB_E_TRANSIENT, "%s sent what memcached would not", c->address->name);
}

uint32_t memcached_exptime(int64_t ttl_s, int64_t now_s)
{
	if (ttl_s <= 0)
		return 0;
	if (ttl_s <= MONTH_S)
		return (uint32_t)ttl_s;
	/* servers keep the time in 32 bits, signed */
	return ttl_s > INT32_MAX - now_s ? INT32_MAX : (uint32_t)(now_s + ttl_s);
}

size_t memcached_frame(struct kb_key key, unsigned char buf[MEMCACHED_FRAME_MAX])
{
	memcpy(buf, MAGIC, 4);
	buf[4] = (unsigned char)key.len;
	memcpy(buf + 5, key.name, key.len);
	return 5 + key.len;
}

/* The key as the servers see it. A byte outside of the alphabet could end the command in the text
 * protocol and start another, so it is looked at here again. */
static int full_key(struct kb_key key, char buf[MEMCACHED_KEY_MAX], struct kb_call *call)
{
	size_t start = 0;

	if (!key.len || key.len > KB_KEY_MAX)
		return memcached_host->fail(call, KB_E_BUG, "a key of %zu bytes", key.len);
	for (size_t i = 0; i <= key.len; i++) {
		unsigned char c = i < key.len ? (unsigned char)key.name[i] : '/';

		if (c == '/') {		/* the end of a component, which is not "", "." or ".." */
			size_t len = i - start;

			if (!len || (len <= 2 && !memcmp(key.name + start, "..", len)))
				return memcached_host->fail(call, KB_E_BUG, "bad key %.*s", (int)key.len, key.name);
			start = i + 1;
		} else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
			return memcached_host->fail(call, KB_E_BUG, "byte 0x%02x in a key", c);
		}
	}
	memcpy(buf, PREFIX, sizeof PREFIX - 1);
	memcpy(buf + sizeof PREFIX - 1, key.name, key.len);
	return KB_OK;
}

struct job {
	struct kb_handle *h;
	struct kb_key key;
	char full[MEMCACHED_KEY_MAX];
	struct memcached_conn *c;
	struct memcached_request request;
	struct kb_source *source;	/* of put */
	struct kb_sink *sink;		/* of get */
	struct kb_call *call;
};

static int send_value(struct job *j)
{
	unsigned char frame[MEMCACHED_FRAME_MAX], piece[PIECE];
	uint64_t left = j->source->size;
	const char *end = j->h->wire->value_end;
	int rc = memcached_conn_send(j->c, frame, memcached_frame(j->key, frame), left || *end, j->call);

	while (!rc && left) {
		size_t got = 0;

		rc = j->source->read(j->source, piece, left < PIECE ? (size_t)left : PIECE, &got);
		if (rc || !got || got > left) {
			/* the server drops a value that does not come to its end */
			memcached_conn_drop(j->c);
			return memcached_host->fail(j->call, KB_E_LOCAL, "reading what is to be stored");
		}
		left -= got;
		rc = memcached_conn_send(j->c, piece, got, left || *end, j->call);
	}
	return rc ? rc : memcached_conn_send(j->c, end, strlen(end), false, j->call);
}

static int sink_value(struct job *j, uint64_t size)
{
	struct memcached_conn *c = j->c;
	int rc = KB_OK;

	if (size > j->sink->limit)
		rc = memcached_host->fail(j->call, KB_E_CORRUPT, "%.*s has %llu bytes, more than it may have", (int)j->key.len,
					  j->key.name, (unsigned long long)size);
	else
		rc = j->sink->begin(j->sink, size);
	while (!rc && size) {
		size_t n = c->end - c->at;

		if (n) {
			n = n < size ? n : (size_t)size;
			rc = j->sink->write(j->sink, c->in + c->at, n);
			c->at += n;
			size -= n;
		} else {
			rc = memcached_conn_fill(c, j->call);
		}
	}
	if (rc)		/* what is still to come would be taken for the next answer */
		memcached_conn_drop(c);
	return rc;
}

/* A value that is not this key's: another program's, or the answer to another request. */
static int get_value(struct job *j, uint64_t size)
{
	unsigned char frame[MEMCACHED_FRAME_MAX];
	size_t len = memcached_frame(j->key, frame);
	int rc;

	if (size < len) {
		memcached_conn_drop(j->c);
		return KB_MISS;
	}
	rc = memcached_conn_need(j->c, len, j->call);
	if (rc)
		return rc;
	if (memcmp(j->c->in + j->c->at, frame, len)) {
		memcached_host->log(4, "%s holds something else as " PREFIX "%.*s", j->c->address->name,
				    (int)j->key.len, j->key.name);
		memcached_conn_drop(j->c);
		return KB_MISS;
	}
	j->c->at += len;
	rc = sink_value(j, size - len);
	return rc ? rc : j->h->wire->get_end(j->c, j->call);
}

static int once(struct job *j)
{
	const struct memcached_wire *wire = j->h->wire;
	char buf[MEMCACHED_REQUEST_MAX];
	uint64_t size = 0;
	size_t len;
	int rc;

	if (j->source) {
		uint64_t most = memcached_max_object(j->h, j->c);

		/* the server would refuse it and forget what it has under that name */
		if (j->source->size > most)
			return memcached_host->fail(j->call, KB_E_TOOBIG, "%s takes objects of up to %llu bytes",
						    j->c->address->name, (unsigned long long)most);
		rc = j->source->rewind(j->source);
		if (rc)
			return memcached_host->fail(j->call, KB_E_LOCAL, "reading what is to be stored");
	}
	len = wire->request(j->c, &j->request, buf);
	rc = memcached_conn_send(j->c, buf, len, j->source != NULL, j->call);
	if (!rc && j->source)
		rc = send_value(j);
	if (!rc)
		rc = wire->reply(j->c, &j->request, &size, j->call);
	return !rc && j->sink ? get_value(j, size) : rc;
}

/* A server that was restarted, or that closes idle connections, has ended one that we take for good: the
 * request is sent again over a fresh one. Once, and only if nothing at all has come back. */
static int run(struct job *j)
{
	size_t server;
	int rc = full_key(j->key, j->full, j->call);

	if (rc)
		return rc;
	j->request.key = j->full;
	j->request.key_len = sizeof PREFIX - 1 + j->key.len;
	server = memcached_generate_hash(j->h->placement, j->full, j->request.key_len);
	j->c = &j->h->conns[server < j->h->servers.n ? server : 0];
	for (int attempt = 0;; attempt++) {
		bool used;

		rc = memcached_ready(j->h, j->c, j->call);
		if (rc)
			return rc;
		used = j->c->used;
		j->c->used = true;
		j->c->answered = false;
		rc = once(j);
		if (rc != KB_E_TRANSIENT || !used || j->c->answered || j->c->fd >= 0 || attempt)
			return rc;
	}
}

int memcached_op_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct job j = { .h = h, .key = key, .sink = sink, .call = call, .request = { .op = MEMCACHED_GET } };

	return run(&j);
}

static uint32_t exptime(const struct kb_handle *h, int64_t ttl_s)
{
	return memcached_exptime(ttl_s > 0 ? ttl_s : h->ttl_s, time(NULL));
}

int memcached_op_put(struct kb_handle *h, struct kb_key key, struct kb_source *source, const struct kb_put_opts *opts,
		     struct kb_call *call)
{
	struct job j = { .h = h, .key = key, .source = source, .call = call };

	j.request.op = opts->flags & KB_PUT_IF_ABSENT ? MEMCACHED_ADD : MEMCACHED_SET;
	j.request.exptime = exptime(h, opts->ttl_s);
	if (source->size > UINT32_MAX - MEMCACHED_FRAME_MAX)
		return memcached_host->fail(call, KB_E_TOOBIG, "no memcached takes %llu bytes", (unsigned long long)source->size);
	j.request.value = 5 + key.len + source->size;
	return run(&j);
}

int memcached_op_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct job j = { .h = h, .key = key, .call = call, .request = { .op = MEMCACHED_DELETE } };
	int rc = run(&j);

	return rc == KB_MISS ? KB_OK : rc;
}

int memcached_op_touch(struct kb_handle *h, struct kb_key key, int64_t ttl_s, struct kb_call *call)
{
	struct job j = { .h = h, .key = key, .call = call, .request = { .op = MEMCACHED_TOUCH } };

	j.request.exptime = exptime(h, ttl_s);
	return run(&j);
}
