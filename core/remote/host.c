#include "config.h"
#include "remote/host.h"

#include "base/buf.h"
#include "base/log.h"
#include "remote/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 255 };	/* of a backend's own words; see kb_host.fail */

static _Thread_local const char *speaker;

void kache_host_speaker(const char *name)
{
	speaker = name;
}

void kache_call_init(struct kache_call *c, uint64_t deadline_ns, int cancel_fd)
{
	*c = (struct kache_call){ .kb = { .struct_size = sizeof c->kb, .deadline_ns = deadline_ns, .cancel_fd = cancel_fd } };
}

/* What a server said is for eyes, not for terminals: neither C0 nor, in UTF-8, C1 controls (ECMA-48). */
static void blank_controls(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = ' ';
		if (*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
}

static int set_text(struct kache_call *c, int status, const char *fmt, va_list ap)
{
	char text[TEXT_MAX + 1];

	vsnprintf(text, sizeof text, fmt, ap);
	blank_controls(text);
	kache_fail(&c->err, KACHE_E_REMOTE, "%s", text);
	return status;
}

int kache_call_fail(struct kache_call *c, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(c, status, fmt, ap);
	va_end(ap);
	return status;
}

static int host_fail(struct kb_call *call, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text((struct kache_call *)call, status, fmt, ap);
	va_end(ap);
	return status;
}

static void host_log(int level, const char *fmt, ...)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	enum kache_log_level mine = level <= 3 ? KACHE_LOG_ERROR : level == 4 ? KACHE_LOG_WARN
				  : level <= 6 ? KACHE_LOG_INFO : KACHE_LOG_DEBUG;
	va_list ap;

	va_start(ap, fmt);
	kache_buf_vfmt(&b, fmt, ap);
	va_end(ap);
	if (b.data)
		blank_controls(b.data);
	kache_log(mine, "%s: %s", speaker ? speaker : "backend", b.data ? b.data : "");
}

const struct kb_host kache_host = {
	.struct_size = sizeof kache_host,
	.abi_minor = KB_ABI_MINOR,
	.kache_version = PACKAGE_VERSION,
	.conf_str = kache_options_str,
	.conf_u64 = kache_options_u64,
	.fail = host_fail,
	.log = host_log,
};

const char *kache_status_name(int status)
{
	static const struct { int status; const char *name; } names[] = {
		{ KB_OK, "ok" }, { KB_MISS, "miss" }, { KB_EXISTS, "exists" }, { KB_E_TRANSIENT, "transient" },
		{ KB_E_THROTTLED, "throttled" }, { KB_E_TIMEOUT, "timeout" }, { KB_E_CANCELLED, "cancelled" },
		{ KB_E_AUTH, "not allowed" }, { KB_E_CONFIG, "configuration" }, { KB_E_UNSUPPORTED, "not supported" },
		{ KB_E_TOOBIG, "too big" }, { KB_E_NOSPACE, "no space" }, { KB_E_CORRUPT, "corrupt" },
		{ KB_E_LOCAL, "local" }, { KB_E_BUG, "backend bug" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].status == status)
			return names[i].name;
	return "unknown";
}
