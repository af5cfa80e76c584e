/* The invocation key, as far as it is the same for every language: one component after another goes into the
 * hash, and in words into the manifest, for people. */
#include "config.h"
#include "wrapper/call.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

void kache_key_bytes(struct kache_call *c, struct kache_hasher *h, const char *label, const char *value, size_t len)
{
	size_t at;

	kache_hasher_field(h, label, value, len);
	kache_buf_str(&c->describe, label);
	kache_buf_ch(&c->describe, ' ');
	at = c->describe.len;
	kache_buf_add(&c->describe, value, len);
	for (char *nl; (nl = memchr(c->describe.data + at, '\n', c->describe.len - at));)
		*nl = ' ';
	kache_buf_ch(&c->describe, '\n');
}

void kache_key_text(struct kache_call *c, struct kache_hasher *h, const char *label, const char *value)
{
	kache_key_bytes(c, h, label, value, strlen(value));
}

void kache_key_digest(struct kache_call *c, struct kache_hasher *h, const char *label, const void *data, size_t len)
{
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash sum;

	kache_hash_bytes(data, len, &sum);
	kache_key_text(c, h, label, kache_hash_hex(&sum, hex));
}

void kache_key_declared(struct kache_call *c, struct kache_hasher *h)
{
	const struct kache_strs *declared = kache_conf_list(c->conf, KACHE_CONF_KEY_ENV);
	const char *salt = kache_conf_str(c->conf, KACHE_CONF_KEY_SALT);

	for (size_t i = 0; i < declared->n; i++) {
		KACHE_AUTO_FREE char *label = kache_asprintf("key_env %s", declared->v[i]);
		const char *value = getenv(declared->v[i]);

		/* The value may be a secret: only its hash is kept. */
		if (value)
			kache_key_digest(c, h, label, value, strlen(value));
		else
			kache_key_text(c, h, label, "unset");
	}
	if (salt)
		kache_key_digest(c, h, "key_salt", salt, strlen(salt));
}

void kache_key_cpu(struct kache_call *c, struct kache_hasher *h)
{
	static const char *const keys[] = { "model name", "flags", "Features", "CPU part", "cpu family", "model\t", "cache size" };
	KACHE_AUTO_BUF struct kache_buf info = KACHE_BUF_INIT, cpu = KACHE_BUF_INIT;
	bool known = !kache_file_read("/proc/cpuinfo", 4 << 20, &info) || info.len;

	for (size_t i = 0; known && i < sizeof keys / sizeof *keys; i++) {
		const char *at = strstr(info.data, keys[i]);

		if (at)
			kache_buf_add(&cpu, at, strcspn(at, "\n"));
	}
	kache_key_digest(c, h, "cpu", cpu.data ? cpu.data : "", cpu.len);
}
