/* What things are called on a remote. */
#include "config.h"
#include "share/share.h"

#include "base/buf.h"
#include "daemon/wire.h"

#include <string.h>

char *kache_share_folder(const char *package)
{
	char folder[KACHE_WIRE_FOLDER_MAX + 1];

	kache_wire_folder(package, strlen(package), folder);
	return kache_strdup(folder);
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
