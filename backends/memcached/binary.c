/* The binary protocol: a header of 24 bytes, then extras, key and value. */
#include "config.h"
#include "memcached.h"

#include <stdio.h>
#include <string.h>

enum { HEADER = 24, SAID_MAX = 200 };
enum { REQUEST = 0x80, RESPONSE = 0x81 };
enum { NO_ERROR = 0x00, NOT_FOUND = 0x01, KEY_EXISTS = 0x02, TOO_LARGE = 0x03, NOT_STORED = 0x05, AUTH_ERROR = 0x20,
       AUTH_CONTINUE = 0x21, UNKNOWN_COMMAND = 0x81, OUT_OF_MEMORY = 0x82, NOT_SUPPORTED = 0x83, BUSY = 0x85 };

static const unsigned char codes[] = {
	[MEMCACHED_GET] = 0x00, [MEMCACHED_SET] = 0x01, [MEMCACHED_ADD] = 0x02, [MEMCACHED_DELETE] = 0x04,
	[MEMCACHED_TOUCH] = 0x1c, [MEMCACHED_STATS] = 0x10, [MEMCACHED_LOGIN] = 0x21,
};

static void store(unsigned char *to, uint64_t n, int bytes)
{
	while (bytes--) {
		to[bytes] = (unsigned char)n;
		n >>= 8;
	}
}

static uint64_t load(const unsigned char *from, int bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | *from++;
	return n;
}

/* SASL's PLAIN: the mechanism as key, NUL user NUL password as value. The caller sends the password. */
static size_t login(const struct memcached_request *r, unsigned char *p)
{
	memcpy(p + HEADER, "PLAIN", 6);		/* with the first NUL */
	memcpy(p + HEADER + 6, r->key, r->key_len);
	p[HEADER + 6 + r->key_len] = '\0';
	store(p + 2, 5, 2);
	store(p + 8, 5 + 1 + r->key_len + 1 + r->value, 4);
	return HEADER + 6 + r->key_len + 1;
}

static size_t request(struct memcached_conn *c, const struct memcached_request *r, char buf[MEMCACHED_REQUEST_MAX])
{
	unsigned char *p = (unsigned char *)buf;
	size_t extras = 0;

	memset(p, 0, HEADER);
	p[0] = REQUEST;
	p[1] = codes[r->op];
	store(p + 12, ++c->opaque, 4);
	if (r->op == MEMCACHED_LOGIN)
		return login(r, p);
	if (r->op == MEMCACHED_SET || r->op == MEMCACHED_ADD) {
		extras = 8;
		store(p + HEADER, 0, 4);	/* flags */
		store(p + HEADER + 4, r->exptime, 4);
	} else if (r->op == MEMCACHED_TOUCH) {
		extras = 4;
		store(p + HEADER, r->exptime, 4);
	}
	memcpy(p + HEADER + extras, r->key, r->key_len);
	store(p + 2, r->key_len, 2);
	p[4] = (unsigned char)extras;
	store(p + 8, extras + r->key_len + r->value, 4);
	return HEADER + extras + r->key_len;
}

struct header { unsigned code, key_len, extras, status; uint64_t value; };

/* The header of an answer to the last request; what came with it follows. */
static int header(struct memcached_conn *c, struct header *h, struct kb_call *call)
{
	int rc = memcached_conn_need(c, HEADER, call);
	const unsigned char *p = c->in + c->at;
	uint64_t body;

	if (rc)
		return rc;
	*h = (struct header){ .code = p[1], .key_len = (unsigned)load(p + 2, 2), .extras = p[4],
			      .status = (unsigned)load(p + 6, 2) };
	body = load(p + 8, 4);
	if (p[0] != RESPONSE || load(p + 12, 4) != c->opaque || h->key_len + h->extras > body)
		return memcached_garbled(c, call);
	h->value = body - h->key_len - h->extras;
	c->at += HEADER;
	return KB_OK;
}

/* Extras and key, which say nothing new. */
static int skip(struct memcached_conn *c, size_t n, struct kb_call *call)
{
	int rc = n > MEMCACHED_BUFFER / 2 ? memcached_garbled(c, call) : memcached_conn_need(c, n, call);

	if (!rc)
		c->at += n;
	return rc;
}

static int status_of(unsigned theirs)
{
	static const struct { unsigned theirs; int ours; } table[] = {
		{ NO_ERROR, KB_OK }, { NOT_FOUND, KB_MISS }, { KEY_EXISTS, KB_EXISTS }, { NOT_STORED, KB_EXISTS },
		{ TOO_LARGE, KB_E_TOOBIG }, { OUT_OF_MEMORY, KB_E_NOSPACE }, { AUTH_ERROR, KB_E_AUTH },
		{ AUTH_CONTINUE, KB_E_UNSUPPORTED }, { UNKNOWN_COMMAND, KB_E_UNSUPPORTED },
		{ NOT_SUPPORTED, KB_E_UNSUPPORTED }, { BUSY, KB_E_THROTTLED },
	};
	int status = KB_E_TRANSIENT;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].theirs == theirs)
			status = table[i].ours;
	return status;
}

static int reply(struct memcached_conn *c, const struct memcached_request *r, uint64_t *size, struct kb_call *call)
{
	char said[SAID_MAX + 1];
	struct header h;
	int rc = header(c, &h, call), status;

	if (!rc && h.code != codes[r->op])
		rc = memcached_garbled(c, call);
	if (!rc)
		rc = skip(c, h.extras + h.key_len, call);
	if (rc)
		return rc;
	status = status_of(h.status);
	if (r->op == MEMCACHED_GET && status == KB_OK) {
		*size = h.value;
		return KB_OK;
	}
	snprintf(said, sizeof said, "status 0x%02x", h.status);
	if (h.value <= SAID_MAX) {
		rc = memcached_conn_need(c, (size_t)h.value, call);
		if (!rc && h.value && !memchr(c->in + c->at, '\0', (size_t)h.value))
			snprintf(said, sizeof said, "%.*s", (int)h.value, (const char *)c->in + c->at);
	}
	if (!rc)
		rc = skip(c, (size_t)h.value, call);
	if (rc || status >= 0)
		return rc ? rc : status;
	/* what was refused has been read to its end, unless there was no room to read it */
	if ((status != KB_E_TOOBIG && status != KB_E_NOSPACE) || strstr(said, "during read"))
		memcached_conn_drop(c);
	return memcached_refused(c, status, said, call);
}

static int get_end(struct memcached_conn *c, struct kb_call *call)
{
	(void)c;
	(void)call;
	return KB_OK;
}

static int stat(struct memcached_conn *c, char name[64], char value[64], struct kb_call *call)
{
	struct header h;
	int rc = header(c, &h, call);

	if (!rc && h.code != codes[MEMCACHED_STATS])
		return memcached_garbled(c, call);
	if (!rc && h.status) {
		memcached_conn_drop(c);
		rc = memcached_refused(c, status_of(h.status) < 0 ? status_of(h.status) : KB_E_UNSUPPORTED, "no statistics", call);
	}
	if (!rc && h.value + h.key_len > MEMCACHED_BUFFER / 4)
		return memcached_garbled(c, call);
	if (!rc)
		rc = skip(c, h.extras, call);
	if (!rc)
		rc = memcached_conn_need(c, h.key_len + (size_t)h.value, call);
	if (rc)
		return rc;
	if (!h.key_len)
		return KB_MISS;
	snprintf(name, 64, "%.*s", (int)h.key_len, (const char *)c->in + c->at);
	snprintf(value, 64, "%.*s", (int)h.value, (const char *)c->in + c->at + h.key_len);
	c->at += h.key_len + (size_t)h.value;
	return KB_OK;
}

const struct memcached_wire memcached_binary = { request, "", reply, get_end, stat };
