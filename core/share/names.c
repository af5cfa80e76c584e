/* What things are called on a remote. */
#include "config.h"
#include "share/share.h"

#include "base/buf.h"

#include <string.h>

enum { MAX_FOLDER = 64 };

char *kache_share_folder(const char *package)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	for (const char *p = package; *p && b.len < MAX_FOLDER; p++) {
		char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;

		kache_buf_ch(&b, (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
	}
	return b.len ? kache_buf_steal(&b) : kache_strdup("_");
}

char *kache_share_pack_key(const char *folder, const struct kache_hash *h)
{
	char hex[KACHE_HEX_LEN + 1];

	return kache_asprintf("%s/%s.tar.zst", folder, kache_hash_hex(h, hex));
}

char *kache_share_manifest_key(const char *folder, const struct kache_hash *h)
{
	char hex[KACHE_HEX_LEN + 1];

	return kache_asprintf("_m/%s/%s", folder, kache_hash_hex(h, hex));
}

uint64_t kache_share_deadline(const struct kache_share *s, uint64_t bytes)
{
	return s->deadline_ns ? s->deadline_ns : kache_remote_deadline(s->remote, bytes);
}
