/* The requests. */
#include "config.h"
#include "crsh.h"

#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 10 };

/* The host keeps to the alphabet of keys; a byte outside of it is a mistake that must not be stored. */
int crsh_key(struct kb_key key, unsigned char out[CRSH_KEY], struct kb_call *call)
{
	unsigned char named[6 + KB_KEY_MAX] = "kache";		/* with its NUL */
	size_t start = 0;

	if (!key.len || key.len > KB_KEY_MAX)
		return crsh_host->fail(call, KB_E_BUG, "a key of %zu bytes", key.len);
	for (size_t i = 0; i <= key.len; i++) {
		unsigned char c = i < key.len ? (unsigned char)key.name[i] : '/';

		if (c == '/') {		/* the end of a component, which is not "", "." or ".." */
			size_t len = i - start;

			if (!len || (len <= 2 && !memcmp(key.name + start, "..", len)))
				return crsh_host->fail(call, KB_E_BUG, "bad key %.*s", (int)key.len, key.name);
			start = i + 1;
		} else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
			return crsh_host->fail(call, KB_E_BUG, "byte 0x%02x in a key", c);
		}
	}
	memcpy(named + 6, key.name, key.len);
	if (EVP_Digest(named, 6 + key.len, out, NULL, EVP_sha256(), NULL) != 1)
		return crsh_host->fail(call, KB_E_LOCAL, "no SHA-256");
	return KB_OK;
}

/* The protocol has no codes for what went wrong, but most messages quote one of HTTP's. */
int crsh_message_status(const char *message)
{
	static const struct { const char *word; int status; } table[] = {
		{ "401", KB_E_AUTH }, { "403", KB_E_AUTH }, { "unauthorized", KB_E_AUTH }, { "forbidden", KB_E_AUTH },
		{ "access denied", KB_E_AUTH }, { "413", KB_E_TOOBIG }, { "too large", KB_E_TOOBIG },
		{ "429", KB_E_THROTTLED }, { "503", KB_E_THROTTLED }, { "507", KB_E_NOSPACE }, { "no space", KB_E_NOSPACE },
	};
	static const char within[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/";

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *p = strcasestr(message, table[i].word);

		/* "status 403" and "HTTP 403:", not "10.0.0.403" or ":4031" */
		if (p && (p == message || !strchr(within, p[-1])) && !(p[strlen(table[i].word)] >= '0' && p[strlen(table[i].word)] <= '9'))
			return table[i].status;
	}
	return KB_E_TRANSIENT;
}

/* A byte of the answer that can't be. What follows it means nothing. */
static int garbled(struct kb_handle *h, struct kb_call *call)
{
	crsh_drop(h);
	return crsh_host->fail(call, KB_E_TRANSIENT, "the helper does not keep to the protocol");
}

static int message(struct kb_handle *h, struct kb_call *call)
{
	char text[CRSH_MESSAGE_MAX + 1];
	unsigned char len;
	int rc = crsh_read(h, &len, 1, call);

	if (!rc)
		rc = crsh_read(h, text, len, call);
	if (rc)
		return rc;
	text[len] = '\0';
	rc = crsh_message_status(text);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	if (crsh_tells(&h->settings, text))
		return crsh_host->fail(call, rc, "the helper's message is not shown, as it holds a secret");
	return crsh_host->fail(call, rc, "the helper says: %.200s", text);
}

/* KB_OK, KB_MISS for "not done", or what the message says. */
static int reply(struct kb_handle *h, struct kb_call *call)
{
	unsigned char status;
	int rc = crsh_read(h, &status, 1, call);

	if (rc)
		return rc;
	return status == CRSH_OK ? KB_OK : status == CRSH_NOOP ? KB_MISS : status == CRSH_ERR ? message(h, call) : garbled(h, call);
}

static int greeting(struct kb_handle *h, struct kb_call *call)
{
	unsigned char version, n, caps[255];
	int rc = crsh_read(h, &version, 1, call);

	if (!rc && version != 1) {
		crsh_drop(h);
		return crsh_host->fail(call, KB_E_UNSUPPORTED, "the helper speaks version %u of the protocol, not 1", version);
	}
	if (!rc)
		rc = crsh_read(h, &n, 1, call);
	if (!rc)
		rc = crsh_read(h, caps, n, call);
	if (rc)
		return rc;
	h->caps = 0;
	for (unsigned i = 0; i < n; i++)
		if (caps[i] < 32)
			h->caps |= 1u << caps[i];
	if (!(h->caps & 1u << CRSH_CAP_GET_PUT_REMOVE)) {
		crsh_drop(h);
		return crsh_host->fail(call, KB_E_UNSUPPORTED, "the helper can't get, put and remove");
	}
	return KB_OK;
}

int crsh_ready(struct kb_handle *h, struct kb_call *call)
{
	struct pollfd p = { .fd = h->fd, .events = POLLIN };
	int rc;

	/* an idle connection that has been closed, or that holds bytes nobody asked for, goes */
	if (h->fd >= 0 && (h->at != h->end || poll(&p, 1, 0) != 0))
		crsh_drop(h);
	if (h->fd >= 0)
		return KB_OK;
	rc = crsh_reach(&h->settings, &h->fd, call);
	return rc ? rc : greeting(h, call);
}

struct job {
	int op;
	struct kb_handle *h;
	unsigned char key[CRSH_KEY];
	struct kb_source *source;	/* of put */
	uint32_t flags;
	struct kb_sink *sink;		/* of get; NULL: its bytes are not wanted */
	struct kb_call *call;
};

static int send_value(struct job *j)
{
	unsigned char piece[PIECE];
	uint64_t left = j->source->size;
	int rc = crsh_send(j->h, &left, sizeof left, j->call);

	while (!rc && left) {
		size_t got = 0;

		rc = j->source->read(j->source, piece, left < PIECE ? (size_t)left : PIECE, &got);
		if (rc || !got || got > left) {
			/* a helper drops a value that does not come to its end */
			crsh_drop(j->h);
			return crsh_host->fail(j->call, KB_E_LOCAL, "reading what is to be stored");
		}
		left -= got;
		rc = crsh_send(j->h, piece, got, j->call);
	}
	return rc;
}

static int sink_value(struct job *j)
{
	struct kb_handle *h = j->h;
	uint64_t size;
	int rc = crsh_read(h, &size, sizeof size, j->call);

	if (!rc && size > INT64_MAX)
		return garbled(h, j->call);
	if (!rc && j->sink && size > j->sink->limit)
		rc = crsh_host->fail(j->call, KB_E_CORRUPT, "an object of %llu bytes, more than it may have", (unsigned long long)size);
	if (!rc && j->sink)
		rc = j->sink->begin(j->sink, size);
	while (!rc && size) {
		size_t n = h->end - h->at;

		if (n > size)
			n = (size_t)size;
		if (n && j->sink)
			rc = j->sink->write(j->sink, h->in + h->at, n);
		h->at += n;
		size -= n;
		if (!n)
			rc = crsh_fill(h, j->call);
	}
	if (rc)		/* what is still to come would be taken for the next answer */
		crsh_drop(h);
	return rc;
}

static int once(struct job *j)
{
	unsigned char head[2 + CRSH_KEY + 1] = { (unsigned char)j->op, CRSH_KEY };
	unsigned char there;
	int rc;

	memcpy(head + 2, j->key, CRSH_KEY);
	head[2 + CRSH_KEY] = j->flags & KB_PUT_IF_ABSENT ? 0 : CRSH_OVERWRITE;
	if (j->source) {
		rc = j->source->rewind(j->source);
		if (rc)
			return crsh_host->fail(j->call, KB_E_LOCAL, "reading what is to be stored");
	}
	rc = crsh_send(j->h, head, j->source ? sizeof head : sizeof head - 1, j->call);
	if (!rc && j->source)
		rc = send_value(j);
	if (!rc)
		rc = reply(j->h, j->call);
	if (!rc && j->op == CRSH_GET)
		rc = sink_value(j);
	if (!rc && j->op == CRSH_EXISTS)
		rc = crsh_read(j->h, &there, 1, j->call);
	return rc;
}

/* A helper that has ended since the last request is started again, once, and only if nothing at all has
 * come back. */
static int run(struct job *j)
{
	for (int attempt = 0;; attempt++) {
		int rc = crsh_ready(j->h, j->call);
		bool used;

		if (rc)
			return rc;
		used = j->h->used;
		j->h->used = true;
		j->h->answered = false;
		rc = once(j);
		if (rc != KB_E_TRANSIENT || !used || j->h->answered || j->h->fd >= 0 || attempt)
			return rc;
	}
}

int crsh_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct job j = { .op = CRSH_GET, .h = h, .sink = sink, .call = call };
	int rc = crsh_key(key, j.key, call);

	return rc ? rc : run(&j);
}

int crsh_put(struct kb_handle *h, struct kb_key key, struct kb_source *source, const struct kb_put_opts *opts,
	     struct kb_call *call)
{
	struct job j = { .op = CRSH_PUT, .h = h, .source = source, .flags = opts->flags, .call = call };
	int rc = crsh_key(key, j.key, call);

	if (!rc)
		rc = run(&j);
	if (rc == KB_MISS && opts->flags & KB_PUT_IF_ABSENT)
		return KB_EXISTS;
	return rc == KB_MISS ? crsh_host->fail(call, KB_E_UNSUPPORTED, "the helper does not store") : rc;
}

int crsh_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct job j = { .op = CRSH_REMOVE, .h = h, .call = call };
	int rc = crsh_key(key, j.key, call);

	if (!rc)
		rc = run(&j);
	return rc == KB_MISS ? KB_OK : rc;
}

/* Asks for an object that nobody has stored: the helper has to ask its server. */
int crsh_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	struct job j = { .op = CRSH_GET, .h = h, .call = call };
	int rc = crsh_key((struct kb_key){ "ping", 4 }, j.key, call);

	(void)limits;
	if (!rc)
		rc = crsh_ready(h, call);
	if (!rc && h->caps & 1u << CRSH_CAP_EXISTS)
		j.op = CRSH_EXISTS;
	if (!rc)
		rc = run(&j);
	return rc == KB_MISS ? KB_OK : rc;
}
