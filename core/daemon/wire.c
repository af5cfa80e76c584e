#include "config.h"
#include "daemon/wire.h"

#include <string.h>

static const unsigned char magic[4] = { 'K', 'C', 'H', 'D' };

static void put16(struct kache_buf *b, uint16_t v)
{
	kache_buf_u8(b, (uint8_t)v);
	kache_buf_u8(b, (uint8_t)(v >> 8));
}

static uint32_t get(const unsigned char *p, size_t n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

void kache_wire_folder(const char *package, size_t len, char out[KACHE_WIRE_FOLDER_MAX + 1])
{
	size_t n = 0;

	for (; n < len && n < KACHE_WIRE_FOLDER_MAX; n++) {
		char c = package[n] >= 'A' && package[n] <= 'Z' ? (char)(package[n] - 'A' + 'a') : package[n];

		out[n] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
	}
	if (!n)
		out[n++] = '_';
	out[n] = '\0';
}

void kache_wire_request_encode(const struct kache_wire_request *r, struct kache_buf *out)
{
	size_t folder = strlen(r->folder);

	kache_buf_add(out, magic, sizeof magic);
	put16(out, KACHE_WIRE_VERSION);
	put16(out, r->op);
	kache_buf_u32(out, (uint32_t)(sizeof r->key + 4 + folder));
	kache_buf_u32(out, r->timeout_ms);
	kache_buf_add(out, &r->fingerprint, sizeof r->fingerprint);
	kache_buf_add(out, &r->key, sizeof r->key);
	kache_buf_bytes(out, r->folder, folder);
}

int kache_wire_request_length(const void *data, size_t len)
{
	const unsigned char *p = data;

	if (len < 12)
		return memcmp(p, magic, len < 4 ? len : 4) ? -KACHE_WIRE_MALFORMED : 0;
	if (memcmp(p, magic, sizeof magic))
		return -KACHE_WIRE_MALFORMED;
	if (get(p + 4, 2) != KACHE_WIRE_VERSION)
		return -KACHE_WIRE_VERSION_OTHER;
	if (get(p + 8, 4) > KACHE_WIRE_BODY_MAX)
		return -KACHE_WIRE_MALFORMED;
	return (int)(KACHE_WIRE_REQUEST + get(p + 8, 4));
}

/* A folder is one component of a key. */
static int folder_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_'))
			return 0;
	return 1;
}

int kache_wire_request_decode(const void *data, size_t len, struct kache_wire_request *r)
{
	const unsigned char *p = data;
	int whole = kache_wire_request_length(data, len);
	struct kache_reader in;
	const void *hash;
	const char *folder;
	size_t folder_len;

	if (whole < 0)
		return whole;
	if (!whole || (size_t)whole != len)
		return -KACHE_WIRE_MALFORMED;
	*r = (struct kache_wire_request){ .op = (uint16_t)get(p + 6, 2), .timeout_ms = get(p + 12, 4) };
	memcpy(&r->fingerprint, p + 16, sizeof r->fingerprint);
	kache_reader_init(&in, p + KACHE_WIRE_REQUEST, len - KACHE_WIRE_REQUEST);
	hash = kache_read_raw(&in, sizeof r->key);
	folder = kache_read_bytes(&in, &folder_len);
	if (in.bad || in.p != in.end || folder_len > KACHE_WIRE_FOLDER_MAX || !folder_ok(folder, folder_len) ||
	    r->timeout_ms > KACHE_WIRE_TIMEOUT_MAX || r->op < KACHE_WIRE_MANIFEST || r->op > KACHE_WIRE_PING)
		return -KACHE_WIRE_MALFORMED;
	memcpy(&r->key, hash, sizeof r->key);
	memcpy(r->folder, folder, folder_len);
	if (r->op <= KACHE_WIRE_ENTRY && !folder_len)
		return -KACHE_WIRE_MALFORMED;
	return 0;
}

void kache_wire_reply_encode(uint16_t status, uint32_t body_len, unsigned char out[KACHE_WIRE_REPLY])
{
	memcpy(out, magic, sizeof magic);
	out[4] = KACHE_WIRE_VERSION;
	out[5] = 0;
	out[6] = (unsigned char)status;
	out[7] = (unsigned char)(status >> 8);
	for (int i = 0; i < 4; i++)
		out[8 + i] = (unsigned char)(body_len >> 8 * i);
}

int kache_wire_reply_decode(const unsigned char in[KACHE_WIRE_REPLY], uint16_t *status, uint32_t *body_len)
{
	*status = (uint16_t)get(in + 6, 2);
	*body_len = get(in + 8, 4);
	if (memcmp(in, magic, sizeof magic) || *body_len > KACHE_WIRE_REPLY_MAX)
		return -1;
	/* The status of another version may mean anything but this one thing. */
	if (get(in + 4, 2) != KACHE_WIRE_VERSION)
		*status = KACHE_WIRE_VERSION_OTHER;
	return 0;
}

const char *kache_wire_status_name(int status)
{
	static const char *const names[] = {
		[KACHE_WIRE_OK] = "ok", [KACHE_WIRE_NOTHING] = "nothing", [KACHE_WIRE_STALE] = "other settings",
		[KACHE_WIRE_FOREIGN] = "busy for other settings", [KACHE_WIRE_TIMEOUT] = "timeout", [KACHE_WIRE_FAILED] = "failed",
		[KACHE_WIRE_VERSION_OTHER] = "another version", [KACHE_WIRE_MALFORMED] = "malformed",
	};

	return status >= 0 && (size_t)status < sizeof names / sizeof *names ? names[status] : "unknown";
}
