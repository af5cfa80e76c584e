/* What a wrapper and the daemon say to each other: one small request, one reply, over a stream socket.
 *
 *	request  u32 magic "KCHD", u16 version, u16 op, u32 body length, u32 timeout in ms, 32 bytes fingerprint;
 *		 body: 32 bytes key, u32 length and bytes of the folder
 *	reply    u32 magic, u16 version, u16 status, u32 body length; body as the op says
 *
 * Little-endian. The first twelve bytes of both stay as they are in every version: whoever meets another
 * version can say so. Every length has a bound and is checked before anything is allocated. A connection takes
 * any number of requests, one after the other. */
#ifndef KACHE_DAEMON_WIRE_H
#define KACHE_DAEMON_WIRE_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdint.h>

#define KACHE_WIRE_VERSION 1u
enum {
	KACHE_WIRE_REQUEST = 48, KACHE_WIRE_REPLY = 12,	/* bytes of the headers */
	KACHE_WIRE_BODY_MAX = 512,			/* of a request's body */
	KACHE_WIRE_FOLDER_MAX = 64,
	KACHE_WIRE_REPLY_MAX = 64 << 20,		/* of a reply's body: a manifest */
	KACHE_WIRE_TIMEOUT_MAX = 3600 * 1000
};

enum kache_wire_op {
	KACHE_WIRE_MANIFEST = 1,	/* key: invocation. OK with the remote's manifest (manifest.h), NOTHING */
	KACHE_WIRE_ENTRY = 2,		/* key: result. OK once the entry is in the store, NOTHING */
	KACHE_WIRE_QUEUED = 3,		/* there is something new in queue/; OK */
	KACHE_WIRE_STATUS = 4,		/* OK with JSON */
	KACHE_WIRE_STOP = 5,		/* OK; the daemon ends after what it is doing */
	KACHE_WIRE_PING = 6		/* OK */
};

enum kache_wire_status {
	KACHE_WIRE_OK = 0,
	KACHE_WIRE_NOTHING = 1,		/* no remote has it */
	KACHE_WIRE_STALE = 2,		/* this daemon has other settings or is another build: it ends, start anew */
	KACHE_WIRE_FOREIGN = 3,		/* likewise, but it was started a moment ago for others: leave it alone */
	KACHE_WIRE_TIMEOUT = 4,
	KACHE_WIRE_FAILED = 5,		/* body: one line of text */
	KACHE_WIRE_VERSION_OTHER = 6,	/* the daemon speaks another version */
	KACHE_WIRE_MALFORMED = 7	/* the connection is closed after it */
};

struct kache_wire_request {
	uint16_t op;
	uint32_t timeout_ms;		/* how long the asker will wait; 0: the daemon's own patience */
	struct kache_hash fingerprint;	/* of settings and build; zero: any daemon will do */
	struct kache_hash key;
	char folder[KACHE_WIRE_FOLDER_MAX + 1];
};

/* The folder of a package's objects on a remote: its name in the alphabet of keys, "_" for an empty one. Two
 * packages may share one; what is in it is named by hashes. */
void kache_wire_folder(const char *package, size_t len, char out[KACHE_WIRE_FOLDER_MAX + 1]);

/* Appends header and body. */
void kache_wire_request_encode(const struct kache_wire_request *r, struct kache_buf *out);
/* How many bytes a request has that begins like this: 0 as long as the first twelve are not there, else its
 * length, or a negative -enum kache_wire_status for what can't be a request. */
int kache_wire_request_length(const void *data, size_t len);
/* Decodes a whole request; 0 or -enum kache_wire_status. */
int kache_wire_request_decode(const void *data, size_t len, struct kache_wire_request *r);

void kache_wire_reply_encode(uint16_t status, uint32_t body_len, unsigned char out[KACHE_WIRE_REPLY]);
/* 0 with *status and *body_len, or -1 for what is no reply of this version. */
int kache_wire_reply_decode(const unsigned char in[KACHE_WIRE_REPLY], uint16_t *status, uint32_t *body_len);
/* "stale", "timeout" … for people. */
const char *kache_wire_status_name(int status);

#endif
