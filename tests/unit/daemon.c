/* The daemon's wire format and its queue records: what goes in comes out, and nothing else is taken. */
#include "config.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "daemon/client.h"
#include "daemon/queue-file.h"
#include "daemon/wire.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void requests(void)
{
	struct kache_wire_request r = { .op = KACHE_WIRE_ENTRY, .timeout_ms = 3000, .folder = "serde_json" }, back;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int bad = 0, whole;

	memset(&r.fingerprint, 0x11, sizeof r.fingerprint);
	memset(&r.key, 0x22, sizeof r.key);
	kache_wire_request_encode(&r, &b);
	whole = kache_wire_request_length(b.data, b.len);
	ok(whole == (int)b.len, "a request tells its length");
	ok(!kache_wire_request_decode(b.data, b.len, &back) && back.op == r.op && back.timeout_ms == 3000 &&
	   !strcmp(back.folder, r.folder) && kache_hash_eq(&back.key, &r.key) &&
	   kache_hash_eq(&back.fingerprint, &r.fingerprint), "and comes out as it went in");
	for (size_t n = 0; n < b.len; n++) {
		int len = kache_wire_request_length(b.data, n);

		bad += n < 12 ? len != 0 : len != whole;
		bad += kache_wire_request_decode(b.data, n, &back) != -KACHE_WIRE_MALFORMED;
	}
	ok(!bad, "no beginning of it is taken for a whole one");
	/* Every single byte changed: either refused or still well-formed, never out of bounds. */
	for (size_t i = 0; i < b.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (char)(1 << bit);
			if (!kache_wire_request_decode(b.data, b.len, &back))
				bad += strlen(back.folder) > KACHE_WIRE_FOLDER_MAX || back.op > KACHE_WIRE_PING || i < 6;
			b.data[i] ^= (char)(1 << bit);
		}
	}
	ok(!bad, "a flipped bit does no harm, and never in magic or version passes");
	b.data[4] = 2;
	ok(kache_wire_request_length(b.data, b.len) == -KACHE_WIRE_VERSION_OTHER, "another version is told as such");
	b.data[4] = 1;
	memset(b.data + 8, 0xff, 4);
	ok(kache_wire_request_length(b.data, b.len) == -KACHE_WIRE_MALFORMED, "a length beyond the bound is refused");
}

static void refused(void)
{
	static const char *const folders[] = { "", "a/b", "..", "A", "a b", "a\xff" };
	int bad = 0;

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		struct kache_wire_request r = { .op = KACHE_WIRE_MANIFEST }, back;
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

		memcpy(r.folder, folders[i], strlen(folders[i]));
		kache_wire_request_encode(&r, &b);
		bad += kache_wire_request_decode(b.data, b.len, &back) != -KACHE_WIRE_MALFORMED;
	}
	ok(!bad, "what is no folder of a remote is refused");
}

static void replies(void)
{
	unsigned char head[KACHE_WIRE_REPLY];
	uint16_t status;
	uint32_t len;

	kache_wire_reply_encode(KACHE_WIRE_NOTHING, 70000, head);
	ok(!kache_wire_reply_decode(head, &status, &len) && status == KACHE_WIRE_NOTHING && len == 70000, "a reply");
	head[4] = 9;
	ok(!kache_wire_reply_decode(head, &status, &len) && status == KACHE_WIRE_VERSION_OTHER, "of another version");
	kache_wire_reply_encode(KACHE_WIRE_OK, KACHE_WIRE_REPLY_MAX + 1u, head);
	ok(kache_wire_reply_decode(head, &status, &len), "a body beyond the bound is refused");
	kache_wire_reply_encode(KACHE_WIRE_OK, 0, head);
	head[0] = 'X';
	ok(kache_wire_reply_decode(head, &status, &len), "other bytes are no reply");
}

static void folders(void)
{
	char out[KACHE_WIRE_FOLDER_MAX + 1];
	char long_name[200];

	kache_wire_folder("Serde-JSON", 10, out);
	ok(!strcmp(out, "serde_json"), "a folder is in the alphabet of keys");
	kache_wire_folder("", 0, out);
	ok(!strcmp(out, "_"), "never empty");
	memset(long_name, 'a', sizeof long_name);
	kache_wire_folder(long_name, sizeof long_name, out);
	ok(strlen(out) == KACHE_WIRE_FOLDER_MAX, "and bounded");
}

static void queue(const char *root)
{
	struct kache_hash result, invocation, back, remotes;
	KACHE_AUTO_FREE char *path = NULL, *folder = NULL;
	static const char *const damaged[] = {
		"", "kache-queue 1 ", "kache-queue 2 0000", "something else\n",
		"kache-queue 1 3333333333333333333333333333333333333333333333333333333333333333 3333333333333333333333333333333333333333333333333333333333333333 folder",
		"kache-queue 1 3333333333333333333333333333333333333333333333333333333333333333 3333333333333333333333333333333333333333333333333333333333333333 \n",
		"kache-queue 1 3333333333333333333333333333333333333333333333333333333333333333 3333333333333333333333333333333333333333333333333333333333333333 ../x\n",
	};
	int bad = 0;

	memset(&result, 0x33, sizeof result);
	memset(&invocation, 0x44, sizeof invocation);
	ok(!kache_queue_put(root, &result, &invocation, &invocation, "leaf"), "a record is put");
	ok(!kache_queue_put(root, &result, &invocation, &result, "other"), "twice is no error");
	ok(!kache_queue_get(root, &result, &back, &remotes, &folder) && kache_hash_eq(&back, &invocation) && !strcmp(folder, "leaf") &&
	   kache_hash_eq(&remotes, &invocation),
	   "and read; the first one counts");
	path = kache_queue_path(root, &result);
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		char *f = NULL;

		kache_file_replace(path, damaged[i], strlen(damaged[i]), 0644);
		bad += kache_queue_get(root, &result, &back, &remotes, &f) != KACHE_E_CORRUPT;
		free(f);
	}
	ok(!bad, "half a record, or a strange one, is damaged");
	unlink(path);
	ok(kache_queue_get(root, &result, &back, &remotes, &folder) == KACHE_E_NOENT, "none is none");
}

static void fingerprints(const char *root)
{
	KACHE_AUTO_FREE char *file = kache_asprintf("%s/config.toml", root);
	const char *files[] = { file, NULL };
	const struct kache_client_options o = { .root = root, .program = "/bin/true", .files = files };
	struct kache_hash a, b;

	setenv("KACHE_BACKEND", "file:///one", 1);
	kache_client_fingerprint(&o, &a);
	kache_client_fingerprint(&o, &b);
	ok(kache_hash_eq(&a, &b), "the same settings have one fingerprint");
	setenv("KACHE_LOG", "debug", 1);
	setenv("UNRELATED", "x", 1);
	kache_client_fingerprint(&o, &b);
	ok(kache_hash_eq(&a, &b), "what only compiles care about is not in it");
	setenv("AWS_SECRET_ACCESS_KEY", "x", 1);
	kache_client_fingerprint(&o, &b);
	ok(!kache_hash_eq(&a, &b), "credentials are");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	setenv("KACHE_BACKEND", "file:///two", 1);
	kache_client_fingerprint(&o, &b);
	ok(!kache_hash_eq(&a, &b), "and the remote");
	setenv("KACHE_BACKEND", "file:///one", 1);
	kache_file_replace(file, "x = 1\n", 6, 0644);
	kache_client_fingerprint(&o, &b);
	ok(!kache_hash_eq(&a, &b), "and the configuration file");
}

int main(void)
{
	char root[] = "/tmp/kache-unit-XXXXXX";
	struct kache_error err;
	struct kache_client c;
	struct kache_client_options o = { .root = root };
	struct kache_wire_request r = { .op = KACHE_WIRE_PING };
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *queue_dir = NULL, *file = NULL;

	if (!mkdtemp(root))
		return 99;
	requests();
	refused();
	replies();
	folders();
	queue(root);
	fingerprints(root);
	kache_client_init(&c, &o);
	ok(kache_client_ask(&c, &r, true, UINT64_MAX, &body, &err) == KACHE_E_NOENT, "nobody there is told at once");
	kache_client_release(&c);
	queue_dir = kache_asprintf("%s/queue", root);
	file = kache_asprintf("%s/config.toml", root);
	rmdir(queue_dir);
	unlink(file);
	rmdir(root);
	return done();
}
