#ifndef KACHE_BASE_UTF8_H
#define KACHE_BASE_UTF8_H

#include <stddef.h>

/* Length of the valid UTF-8 sequence (RFC 3629) at p, of which left bytes may be read; 0 if there is none. */
size_t kache_utf8_length(const unsigned char *p, size_t left);

#endif
