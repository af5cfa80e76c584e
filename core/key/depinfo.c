#include "config.h"
#include "key/depinfo.h"

#include "base/buf.h"
#include "base/err.h"

#include <string.h>

/* Dependencies are separated by spaces; "\ " is a space in a name (rustc_interface::passes). */
static void add_files(struct kache_depinfo *d, const char *p, const char *end)
{
	while (p < end) {
		struct kache_buf name = KACHE_BUF_INIT;

		while (p < end && *p == ' ')
			p++;
		for (; p < end && *p != ' '; p++) {
			if (*p == '\\' && p + 1 < end && p[1] == ' ')
				p++;
			kache_buf_ch(&name, *p);
		}
		if (name.len)
			kache_strs_take(&d->files, kache_buf_steal(&name));
		else
			kache_buf_release(&name);
	}
}

/* "\n", "\r" and "\\" in env-dep lines stand for themselves. */
static char *unescape(const char *p, const char *end)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end) {
			p++;
			kache_buf_ch(&b, *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p);
		} else {
			kache_buf_ch(&b, *p);
		}
	}
	return kache_buf_steal(&b);
}

static void unique(struct kache_strs *s)
{
	size_t n = 0;

	kache_strs_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		if (n && !strcmp(s->v[n - 1], s->v[i]))
			kache_auto_free(&s->v[i]);
		else
			s->v[n++] = s->v[i];
	}
	if (s->v)
		s->v[n] = NULL;
	s->n = n;
}

/* Where the target of a rule ends: ": ", or ":" at the end of the line. */
static const char *colon(const char *p, const char *end)
{
	for (; p < end; p++)
		if (*p == ':' && (p + 1 == end || p[1] == ' '))
			return p;
	return NULL;
}

int kache_depinfo_parse(const char *text, size_t len, struct kache_depinfo *d)
{
	static const char env[] = "# env-dep:";
	const char *end = text + len;
	bool rule = false;

	*d = (struct kache_depinfo){ 0 };
	/* No name on disk has a NUL: such text is torn, and its names would be cut. */
	if (len && memchr(text, '\0', len))
		return KACHE_E_INVALID;
	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text)), *at;

		eol = eol ? eol : end;
		if ((size_t)(eol - text) > sizeof env - 1 && !memcmp(text, env, sizeof env - 1)) {
			const char *name = text + sizeof env - 1;

			at = memchr(name, '=', (size_t)(eol - name));
			kache_strs_take(at ? &d->env_set : &d->env_unset, unescape(name, eol));
		} else if (*text != '#' && (at = colon(text, eol))) {
			rule = true;
			add_files(d, at + 1, eol);
		}
		text = eol + 1;
	}
	if (!rule) {
		kache_depinfo_release(d);
		return KACHE_E_INVALID;
	}
	unique(&d->files);
	unique(&d->env_set);
	unique(&d->env_unset);
	return KACHE_OK;
}

void kache_depinfo_release(struct kache_depinfo *d)
{
	kache_strs_release(&d->files);
	kache_strs_release(&d->env_set);
	kache_strs_release(&d->env_unset);
}
