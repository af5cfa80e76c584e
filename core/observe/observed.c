#include "config.h"
#include "observe/observe.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_MAX = 256 << 20, MEMOS = 64, INTERPRETERS = 4 };
#define NEVER UINT32_MAX

/* A record about a path; seq is its place in the log. */
struct item {
	const char *path;
	uint32_t seq;
	char type;
};

/* What one reading needs besides the result. */
struct reading {
	struct item *items;
	size_t n, cap;
	struct kache_strs owned;		/* paths that are no longer those in the log */
	struct kache_strs started, failed;	/* X and F, then only X */
	struct kache_strs named, unnamed;	/* x and f */
	struct kache_strs from, to;		/* what paths up to their last ".." are, see dotdot */
	struct kache_strs climbs;		/* all of `from` */
	struct kache_strs vanished;		/* what was on the way to something that was there, and is gone */
};

static void set_blind(struct kache_observed *o, const char *fmt, const char *what)
{
	if (!o->blind)
		o->blind_why = kache_asprintf(fmt, what);
	o->blind = true;
}

static void unique(struct kache_strs *s)
{
	size_t kept = 0;

	kache_strs_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		if (kept && !strcmp(s->v[kept - 1], s->v[i]))
			free(s->v[i]);
		else
			s->v[kept++] = s->v[i];
	}
	s->n = kept;
	if (s->v)
		s->v[kept] = NULL;
}

/* The first part of path that is not there, as it stands. */
static char *first_missing(const char *path)
{
	for (size_t end = 1; ; end++) {
		end += strcspn(path + end, "/");
		KACHE_AUTO_FREE char *part = kache_strndup(path, end);

		if (access(part, F_OK) || !path[end])
			return kache_strdup(part);
	}
}

static const char *own(struct reading *r, char *path)
{
	kache_strs_take(&r->owned, path);
	return path;
}

/* What path[0..end), which ends in "..", stands for: "+" and a directory, or, where a part of it is
 * missing, "-" and that part. Remembered, because linkers ask for many names in few places. */
static const char *dotdot(struct reading *r, const char *path, size_t end)
{
	KACHE_AUTO_FREE char *prefix = kache_strndup(path, end);
	KACHE_AUTO_FREE char *real = NULL, *lexical = NULL, *other = NULL;

	for (size_t i = r->from.n; i-- > 0;)
		if (!strcmp(r->from.v[i], prefix))
			return r->to.v[i];
	if (r->from.n == MEMOS) {
		kache_strs_release(&r->from);
		kache_strs_release(&r->to);
	}
	real = kache_path_real(prefix);
	if (real) {
		lexical = kache_path_absolute("/", prefix);
		other = kache_path_real(lexical);
		kache_strs_take(&r->to, kache_asprintf("+%s", other && !strcmp(other, real) ? lexical : real));
	} else {
		lexical = first_missing(prefix);
		kache_strs_take(&r->to, kache_asprintf("-%s", lexical));
	}
	kache_strs_add(&r->from, prefix);
	kache_strs_add(&r->climbs, prefix);
	return r->to.v[r->to.n - 1];
}

/* A look for a/missing/../b fails whether b is there or not: it is a/missing that was not there. */
static const char *normal(struct reading *r, const char *path, char type)
{
	size_t len = strlen(path), end;
	const char *known;

	if (!strstr(path, "//") && !strstr(path, "/.") && (len < 2 || path[len - 1] != '/'))
		return path;
	end = kache_path_climb(path);
	if (!end)
		return own(r, kache_path_absolute("/", path));
	known = dotdot(r, path, end);
	if (known[0] == '+') {
		KACHE_AUTO_FREE char *joined = kache_asprintf("%s/%s", known + 1, path + end);

		return own(r, kache_path_absolute("/", joined));
	}
	if (type == 'A' && !kache_path_climb(known + 1))
		return own(r, kache_path_absolute("/", known + 1));
	if (type == 'A') {
		KACHE_AUTO_FREE char *missing = kache_strdup(known + 1);

		/* Everything before its last component is there, unless it has just gone. */
		return strcmp(missing, path) ? normal(r, missing, '-') : own(r, kache_path_absolute("/", path));
	}
	if (strchr("ROSPLU", type))
		kache_strs_add(&r->vanished, known + 1);
	return own(r, kache_path_absolute("/", path));
}

static void add_item(struct reading *r, char type, const char *path, uint32_t seq)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 1024;
		r->items = kache_realloc(r->items, r->cap, sizeof *r->items);
	}
	r->items[r->n++] = (struct item){ normal(r, path, type), seq, type };
}

static int add_record(struct reading *r, struct kache_observed *o, const char *record, uint32_t seq)
{
	const char *text = record + 1;
	char type = record[0];

	if (!type || !*text || (strchr("BROSWDAPLUXFTKMH", type) && *text != '/'))
		return KACHE_E_CORRUPT;
	switch (type) {
	case 'R': case 'O': case 'S': case 'W': case 'D': case 'A': case 'P': case 'L': case 'U':
		add_item(r, type, text, seq);
		break;
	case 'B': kache_strs_add(&o->programs, text); break;
	case 'E': kache_strs_add(&o->env, text); break;
	case 'X': kache_strs_add(&r->started, normal(r, text, type)); break;
	case 'F': kache_strs_add(&r->failed, normal(r, text, type)); break;
	case 'x': kache_strs_add(&r->named, text); break;
	case 'f': kache_strs_add(&r->unnamed, text); break;
	case 'T': kache_strs_add(&o->clocks, text); break;
	case 'K': kache_strs_add(&o->lookers, normal(r, text, type)); break;
	case 'G': kache_strs_add(&o->asked, text); break;
	case 'M': kache_strs_add(&o->machines, normal(r, text, type)); break;
	case 'H': kache_strs_add(&o->placed, normal(r, text, type)); break;
	case 'V': o->environment = true; break;
	case 'N': o->network = true; break;
	case 'C': o->calendar = true; break;
	case '!': set_blind(o, "%s", text); break;
	default: return KACHE_E_CORRUPT;
	}
	return KACHE_OK;
}

static int parse(struct reading *r, struct kache_observed *o, const struct kache_buf *log)
{
	const char *p = log->data, *end = p + log->len;
	uint32_t seq = 0;

	if (log->len && end[-1])
		return KACHE_E_CORRUPT;
	for (; p < end; p += strlen(p) + 1)
		if (add_record(r, o, p, seq++))
			return KACHE_E_CORRUPT;
	return KACHE_OK;
}

/* Directories right before what is in them: '/' sorts before every other byte. */
static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	if (*a == *b)
		return 0;
	if (!*a || !*b)
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int compare_items(const void *va, const void *vb)
{
	const struct item *a = va, *b = vb;
	int order = compare_paths(a->path, b->path);

	return order ? order : a->seq < b->seq ? -1 : a->seq > b->seq;
}

static uint32_t earlier(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Sorts the items into the lists, see the header for what is left out. */
static void sort_out(struct reading *r, struct kache_observed *o)
{
	static const char kinds[] = "ROSPLAU";
	struct kache_strs *lists[] = { &o->reads, &o->others, &o->links, &o->present, &o->lists, &o->absent, &o->denied };
	const char *made = NULL;	/* a directory that this run made, */
	uint32_t made_at = NEVER;	/* and when */

	if (r->n)
		qsort(r->items, r->n, sizeof *r->items, compare_items);
	for (size_t i = 0; i < r->n;) {
		const char *path = r->items[i].path;
		uint32_t first[128], written, used;

		memset(first, 0xff, sizeof first);
		for (; i < r->n && !strcmp(r->items[i].path, path); i++) {
			uint32_t *f = &first[(unsigned char)r->items[i].type];

			*f = earlier(*f, r->items[i].seq);
		}
		if (made && !kache_path_below(path, made, NULL))
			made = NULL;
		written = earlier(first['W'], first['D']);
		used = earlier(earlier(first['R'], first['S']), earlier(earlier(first['P'], first['O']), first['L']));
		for (size_t k = 0; k < sizeof kinds - 1; k++) {
			uint32_t at = first[(unsigned char)kinds[k]];

			if (at < written && (!made || at < made_at))
				kache_strs_add(lists[k], path);
		}
		if (written != NEVER)
			kache_strs_add(&o->writes, path);
		if (!made && first['D'] < used) {
			made = path;
			made_at = first['D'];
		}
	}
	for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
		kache_strs_sort(lists[k]);
	kache_strs_sort(&o->writes);
}

/* Moves what was started more often than it failed to out. */
static void take_back(struct kache_strs *started, struct kache_strs *failed, struct kache_strs *out)
{
	size_t f = 0;

	kache_strs_sort(started);
	kache_strs_sort(failed);
	for (size_t i = 0, end; i < started->n; i = end) {
		size_t failures = 0;

		for (end = i + 1; end < started->n && !strcmp(started->v[end], started->v[i]);)
			end++;
		while (f < failed->n && strcmp(failed->v[f], started->v[i]) < 0)
			f++;
		for (; f < failed->n && !strcmp(failed->v[f], started->v[i]); f++)
			failures++;
		if (end - i > failures)
			kache_strs_add(out, started->v[i]);
	}
}

/* True if one of the programs that reported is path: the same file, or, where it is gone, the same
 * name (the kernel then appends a remark to it). */
static bool began(const struct kache_observed *o, const struct kache_stat *ids, const char *path)
{
	struct kache_stat st;
	bool there = !kache_stat(path, true, &st);

	for (size_t i = 0; i < o->programs.n; i++) {
		const char *program = o->programs.v[i], *rest;

		if (there && ids[i].ino && ids[i].ino == st.ino && ids[i].dev == st.dev)
			return true;
		if (!kache_starts(program, path))
			continue;
		rest = program + strlen(path);
		if (!*rest || !strcmp(rest, " (deleted)"))
			return true;
	}
	return false;
}

/* The program that the kernel or execvp really runs for a file that is no program itself, or NULL. */
static char *interpreter(const char *path)
{
	KACHE_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char head[256];
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head - 1);
	char *p = head + 2;

	if (n < 4 || !memcmp(head, "\177ELF", 4))
		return NULL;
	head[n] = '\0';
	if (memcmp(head, "#!", 2))
		return kache_strdup("/bin/sh");
	p += strspn(p, " \t");
	return *p == '/' ? kache_strndup(p, strcspn(p, " \t\r\n")) : NULL;
}

static bool reported(const struct kache_observed *o, const struct kache_stat *ids, const char *path)
{
	KACHE_AUTO_FREE char *now = kache_strdup(path);

	for (int i = 0; i < INTERPRETERS && now; i++) {
		char *next;

		if (began(o, ids, now))
			return true;
		next = interpreter(now);
		free(now);
		now = next;
	}
	return false;
}

static bool has_base(const struct kache_strs *paths, const char *name)
{
	for (size_t i = 0; i < paths->n; i++)
		if (!strcmp(kache_path_base(paths->v[i]), name))
			return true;
	return false;
}

/* Whether the run made it, or a directory that it was in: then it was none that leads elsewhere. */
static bool made_here(const struct kache_observed *o, const char *path)
{
	for (size_t i = 0; i < o->writes.n; i++)
		if (kache_path_below(path, o->writes.v[i], NULL))
			return true;
	return false;
}

static void find_blind_spots(const struct reading *r, struct kache_observed *o)
{
	struct kache_stat *ids = kache_calloc(o->programs.n + 1, sizeof *ids);

	if (!o->programs.n)
		set_blind(o, "%s", "no program reported");
	for (size_t i = 0; i < o->programs.n; i++)
		if (kache_stat(o->programs.v[i], true, &ids[i]))
			ids[i].ino = 0;
	for (size_t i = 0; i < o->execs.n && !o->blind; i++)
		if (!reported(o, ids, o->execs.v[i]))
			set_blind(o, "%s did not report", o->execs.v[i]);
	for (size_t i = 0; i < o->searched.n && !o->blind; i++)
		if (!has_base(&o->execs, o->searched.v[i]))
			set_blind(o, "%s was started from an unknown place", o->searched.v[i]);
	for (size_t i = 0; i < r->vanished.n && !o->blind; i++)
		if (!made_here(o, r->vanished.v[i]))
			set_blind(o, "%s is gone", r->vanished.v[i]);
	free(ids);
}

static void release_reading(struct reading *r)
{
	struct kache_strs *all[] = { &r->owned, &r->started, &r->failed, &r->named, &r->unnamed, &r->from, &r->to,
				     &r->climbs, &r->vanished };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		kache_strs_release(all[i]);
	free(r->items);
}

int kache_observed_read(const char *log, struct kache_observed *out)
{
	KACHE_AUTO_BUF struct kache_buf bytes = KACHE_BUF_INIT;
	struct reading r = { 0 };
	int err;

	memset(out, 0, sizeof *out);
	err = kache_file_read(log, LOG_MAX, &bytes);
	if (err)
		return err;
	err = parse(&r, out, &bytes);
	if (!err) {
		sort_out(&r, out);
		unique(&out->env);
		unique(&out->programs);
		unique(&out->clocks);
		unique(&out->lookers);
		unique(&out->asked);
		unique(&out->machines);
		unique(&out->placed);
		out->climbs = r.climbs;
		r.climbs = (struct kache_strs){ NULL, 0, 0 };
		unique(&out->climbs);
		take_back(&r.started, &r.failed, &out->execs);
		take_back(&r.named, &r.unnamed, &out->searched);
		find_blind_spots(&r, out);
	}
	release_reading(&r);
	if (err)
		kache_observed_release(out);
	return err;
}

void kache_observed_release(struct kache_observed *o)
{
	struct kache_strs *all[] = { &o->reads, &o->writes, &o->absent, &o->present, &o->lists, &o->env, &o->links, &o->others,
				     &o->denied, &o->programs, &o->execs, &o->searched, &o->climbs, &o->clocks,
				     &o->lookers, &o->asked, &o->machines, &o->placed };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		kache_strs_release(all[i]);
	free(o->blind_why);
	memset(o, 0, sizeof *o);
}
