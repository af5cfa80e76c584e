/* remote-call URL: operations on a remote, one a line from standard input, for tests that look at what a
 * server does with them. The bytes of an object follow from its key and size, so a get knows what it should be.
 *	put KEY SIZE [TTL]	get KEY		del KEY		limits
 * Prints a line for each: the word, the key and what came of it. */
#include "config.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "remote/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_SECONDS = 10 };

/* The byte at a place of an object. */
static unsigned char byte_at(struct kb_key key, uint64_t at)
{
	return (unsigned char)((at * 2654435761u >> 7) + (unsigned char)key.name[at % key.len]);
}

struct source { struct kb_source kb; struct kb_key key; uint64_t at; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;

	for (*got = 0; *got < len && s->at < kb->size; ++*got)
		((unsigned char *)buf)[*got] = byte_at(s->key, s->at++);
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return KB_OK;
}

struct sink { struct kb_sink kb; struct kb_key key; uint64_t at; int wrong; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	(void)size;
	((struct sink *)kb)->at = 0;
	((struct sink *)kb)->wrong = 0;
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct sink *s = (struct sink *)kb;

	for (size_t i = 0; i < len; i++)
		s->wrong |= ((const unsigned char *)buf)[i] != byte_at(s->key, s->at++);
	return KB_OK;
}

static int limits(struct kache_remote *r, struct kache_call *call)
{
	struct kb_limits l = { .struct_size = sizeof l };
	int rc = kache_remote_ping(r, &l, call);

	if (!rc)
		printf("limits max_object=%" PRIu64 " writable=%d\n", l.max_object, (l.caps & KB_CAP_WRITE) != 0);
	return rc;
}

static int line(struct kache_remote *r, const char *text)
{
	char op[16], name[KB_KEY_MAX + 1];
	uint64_t size = 0;
	long long ttl = 0;
	struct kache_call call;
	struct kb_key key;
	int rc = 0, n = sscanf(text, "%15s %240s %" SCNu64 " %lld", op, name, &size, &ttl);

	if (n < 1 || (n < 2 && strcmp(op, "limits")))
		return 2;
	key = (struct kb_key){ name, n < 2 ? 0 : strlen(name) };
	kache_call_init(&call, kache_remote_deadline(r, size), -1);
	if (!strcmp(op, "put")) {
		struct source s = { { sizeof s.kb, -1, size, src_read, src_rewind }, key, 0 };
		struct kb_put_opts opts = { sizeof opts, 0, ttl };

		rc = kache_remote_put(r, key, &s.kb, &opts, &call);
	} else if (!strcmp(op, "get")) {
		struct sink s = { { sizeof s.kb, -1, UINT64_C(1) << 40, sink_begin, sink_write }, key, 0, 0 };

		rc = kache_remote_get(r, key, &s.kb, &call);
		if (!rc) {
			printf("get %s %" PRIu64 " bytes%s\n", name, s.at, s.wrong ? ", wrong ones" : "");
			return 0;
		}
	} else if (!strcmp(op, "del")) {
		rc = kache_remote_del(r, key, &call);
	} else if (!strcmp(op, "limits")) {
		rc = limits(r, &call);
		if (!rc)
			return 0;
	} else {
		return 2;
	}
	printf("%s %s %s%s%s\n", op, n < 2 ? "" : name, kache_status_name(rc), rc < 0 ? ": " : "", rc < 0 ? call.err.text : "");
	return 0;
}

int main(int argc, char **argv)
{
	struct kache_error err;
	struct kache_conf *conf;
	struct kache_remote *r;
	char text[512];
	int rc = 0;

	if (argc != 2)
		return 2;
	if (kache_conf_load("/", &conf, &err) ||
	    kache_remote_open(conf, argv[1], kache_now_mono() + (uint64_t)OPEN_SECONDS * 1000000000, -1, &r, &err)) {
		printf("open: %s\n", err.text);
		return 1;
	}
	while (!rc && fgets(text, sizeof text, stdin)) {
		rc = line(r, text);
		fflush(stdout);
	}
	kache_remote_close(r);
	kache_conf_free(conf);
	return rc;
}
