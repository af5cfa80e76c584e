#include "config.h"
#include "key/nvccargs.h"
#include "key/ccparts.h"

#include "base/file.h"

enum shape { WORD, VALUE, JOINED, NUMBER };

struct flag {
	const char *name, *brief;
	unsigned char shape, action;
	const char *reason;
};

static const struct flag flags[] = {
#define NVCC_FLAG(name, brief, shape, action, reason) { name, brief, shape, KACHE_NVCC_##action, reason },
#include "key/nvccargs.def"
#undef NVCC_FLAG
};

static const char *const ptxas_options[] = {
#define NVCC_PTXAS(name) name,
#include "key/nvccargs.def"
#undef NVCC_PTXAS
	NULL
};

static const char *const front_options[] = {
#define NVCC_FRONT(name) name,
#include "key/nvccargs.def"
#undef NVCC_FRONT
	NULL
};

/* What nvcc compiles; of -x it knows no other either. */
static const struct { const char *end, *language; } suffixes[] = {
	{ ".cu", "cu" }, { ".c", "c" }, { ".cc", "c++" }, { ".cpp", "c++" }, { ".cxx", "c++" },
};

enum { EXPAND_DEPTH = 10, EXPAND_FILES = 100, EXPAND_MAX = 1 << 20 };

/* While parsing. */
struct state {
	struct kache_cc_args *a;
	const char *cwd, *end;		/* end: of the output's name, by what is to be made */
	bool deps, forward;
	size_t sources, files;
	char *depfile, *directory;
	struct kache_strs for_host;	/* of -Xcompiler */
	struct kache_strs unknown;
};

bool kache_nvcc_for_shell(const char *text)
{
	return strpbrk(text, "$`") != NULL;
}

/* ---- words ---- */

static const struct flag *find(const char *arg, const char **value)
{
	size_t len = strcspn(arg, "=");

	*value = NULL;
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (!strcmp(flags[i].name, arg) || !strcmp(flags[i].brief, arg))
			return &flags[i];
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		const struct flag *f = &flags[i];
		bool same = kache_is_word(f->name, arg, len) || kache_is_word(f->brief, arg, len);

		if (arg[len] && f->shape != WORD && same) {
			*value = arg + len + 1;
			return f;
		}
	}
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (flags[i].shape >= JOINED && kache_starts(arg, flags[i].brief)) {
			*value = arg + strlen(flags[i].brief);
			if (flags[i].shape == JOINED || (**value >= '0' && **value <= '9'))
				return &flags[i];
		}
	*value = NULL;
	return NULL;
}

/* One word of a variable or of a file of options. nvcc takes other characters out in either of them, and differently in
 * different versions: what holds them is not understood, but for double quotes in files. False at the end. */
static bool next_word(const char **at, bool quotes, struct kache_buf *word, bool *strange)
{
	const char *p = *at;
	bool quoted = false;

	while (blank(*p))
		p++;
	*at = p;
	if (!*p)
		return false;
	kache_buf_add(word, "", 0);
	for (; *p && (quoted || !blank(*p)); p++) {
		if (*p == '\\' || *p == '\'' || (*p == '"' && !quotes))
			*strange = true;
		else if (*p == '"')
			quoted = !quoted;
		else
			kache_buf_ch(word, *p);
	}
	*strange |= quoted;
	*at = p;
	return true;
}

static void variable(struct state *s, const char *name, const char *text)
{
	for (;;) {
		KACHE_AUTO_BUF struct kache_buf word = KACHE_BUF_INIT;
		bool strange = false;

		if (!next_word(&text, false, &word, &strange))
			return;
		if (strange)
			refuse(s->a, "flags-variable", name);
		kache_strs_add(&s->a->argv, word.data);
	}
}

/* Files of options that argv[i] names, "a,b", are replaced by what they hold. */
static void options(struct state *s, const char *names, int depth, struct kache_strs *out);

static void expand(struct state *s, const struct kache_strs *in, int depth, struct kache_strs *out)
{
	for (size_t i = 0; i < in->n; i++) {
		const char *value;
		const struct flag *f = in->v[i][0] == '-' ? find(in->v[i], &value) : NULL;

		if (!f || f->action != KACHE_NVCC_OPTIONS) {
			kache_strs_add(out, in->v[i]);
			/* What follows is a value, whatever it looks like. */
			if (f && f->shape != WORD && !value && i + 1 < in->n)
				kache_strs_add(out, in->v[++i]);
			continue;
		}
		if (!value && i + 1 == in->n) {
			refuse(s->a, "options-file", in->v[i]);
			return;
		}
		options(s, value ? value : in->v[++i], depth, out);
	}
}

static void options(struct state *s, const char *names, int depth, struct kache_strs *out)
{
	for (const char *p = names; ; p++) {
		size_t len = strcspn(p, ",");
		KACHE_AUTO_FREE char *name = kache_strndup(p, len), *path = kache_path_join(s->cwd, name);
		KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
		KACHE_AUTO_STRS struct kache_strs words = { NULL, 0, 0 };
		const char *at;
		bool strange = false;

		if (s->a->why)	/* files that name each other end here */
			return;
		if (!len || depth == EXPAND_DEPTH || ++s->files > EXPAND_FILES || strpbrk(name, "\\'\"") ||
		    kache_file_read(path, EXPAND_MAX, &text)) {
			refuse(s->a, "options-file", name);
			return;
		}
		kache_buf_add(&text, "", 0);
		for (at = text.data; !strange;) {
			KACHE_AUTO_BUF struct kache_buf word = KACHE_BUF_INIT;

			if (!next_word(&at, true, &word, &strange))
				break;
			kache_strs_add(&words, word.data);
		}
		if (strange || at != text.data + text.len) {
			refuse(s->a, "options-file", name);
			return;
		}
		expand(s, &words, depth + 1, out);
		p += len;
		if (!*p)
			return;
	}
}

/* ---- what it hands on ---- */

/* Splits "a,b c" as nvcc and then its shell do. What the shell might take for something else is not understood. */
static bool split(struct state *s, const char *value, struct kache_strs *words, const char *reason)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+./:@%^, \t";

	if (value[strspn(value, plain)]) {
		refuse(s->a, reason, value);
		return false;
	}
	while (*value) {
		size_t len = strcspn(value, ", \t");

		if (len)
			kache_strs_addn(words, value, len);
		value += len + (value[len] != '\0');
	}
	return true;
}

static void for_tool(struct state *s, const char *value, const char *const *known, const char *reason)
{
	KACHE_AUTO_STRS struct kache_strs words = { NULL, 0, 0 };

	(void)split(s, value, &words, reason);
	for (size_t i = 0; i < words.n; i++) {
		KACHE_AUTO_FREE char *name = kache_strndup(words.v[i], strcspn(words.v[i], "="));

		if (name[0] == '-' && !in_list(known, name))
			refuse(s->a, reason, name);
	}
}

static void check_host(struct state *s)
{
	struct kache_cc_args *a = s->a;

	if (s->for_host.n)
		kache_cc_args_forwarded(&s->for_host, s->cwd, a);
	for (size_t i = 0; i < s->unknown.n; i++) {
		KACHE_AUTO_STRS struct kache_strs one = { NULL, 0, 0 };
		KACHE_AUTO_FREE char *name = kache_strndup(s->unknown.v[i], strcspn(s->unknown.v[i], "="));

		if (!s->forward)
			refuse(a, "unknown-flag", name);
		else if (split(s, s->unknown.v[i], &one, "host-flag"))
			kache_cc_args_forwarded(&one, s->cwd, a);
	}
}

/* ---- one argument ---- */

static void act(struct state *s, const struct flag *f, const char *arg, const char *value)
{
	struct kache_cc_args *a = s->a;

	switch ((enum kache_nvcc_action)f->action) {
	case KACHE_NVCC_ARCH:
		if (strstr(value, "native"))
			refuse(a, "native-architecture", value);
		break;
	case KACHE_NVCC_MODE:
		if (s->end && strcmp(s->end, f->reason))
			refuse(a, "several-outputs", arg);
		s->end = f->reason;
		break;
	case KACHE_NVCC_OUTPUT:
		set(&a->output, value);
		return;
	case KACHE_NVCC_DIRECTORY:
		set(&s->directory, value);
		break;
	case KACHE_NVCC_DEPS:
		s->deps = true;
		break;
	case KACHE_NVCC_DEPFILE:	/* where the list goes is not in it */
		set(&s->depfile, value);
		return;
	case KACHE_NVCC_TARGET:
		a->target_given = true;
		break;
	case KACHE_NVCC_LANGUAGE:
		set(&a->language, value);
		break;
	case KACHE_NVCC_HOST:
		set(&a->host, value);
		break;
	case KACHE_NVCC_FORWARD:
		s->forward = true;
		break;
	case KACHE_NVCC_FOR_HOST:
		(void)split(s, value, &s->for_host, "host-flag");
		break;
	case KACHE_NVCC_FOR_PTXAS:
		for_tool(s, value, ptxas_options, "ptxas-flag");
		break;
	case KACHE_NVCC_FOR_FRONT:
		for_tool(s, value, front_options, "cudafe-flag");
		break;
	case KACHE_NVCC_REFUSE:
		refuse(a, f->reason, arg);
		break;
	case KACHE_NVCC_CODE:
	case KACHE_NVCC_INPUT:
	case KACHE_NVCC_LINK:
	case KACHE_NVCC_OPTIONS:	/* expanded already */
		break;
	}
	part(a, f->brief, value);
}

/* Returns how many arguments it took. */
static size_t argument(struct state *s, size_t i)
{
	struct kache_cc_args *a = s->a;
	const char *arg = a->argv.v[i], *value;
	const struct flag *f;

	if (kache_nvcc_for_shell(arg))
		refuse(a, "shell-word", arg);
	if (arg[0] != '-' || !arg[1]) {
		if (!s->sources++)
			set(&a->source, arg);
		return 1;
	}
	f = find(arg, &value);
	if (!f) {
		kache_strs_add(&s->unknown, arg);
		part(a, "-unknown", arg);
		return 1;
	}
	if (f->shape == WORD || value) {
		act(s, f, arg, value ? value : "");
		return 1;
	}
	if (i + 1 >= a->argv.n) {
		refuse(a, "unknown-flag", arg);
		return 1;
	}
	if (kache_nvcc_for_shell(a->argv.v[i + 1]))
		refuse(a, "shell-word", a->argv.v[i + 1]);
	act(s, f, arg, a->argv.v[i + 1]);
	return 2;
}

static const char *language_of(const char *path)
{
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
		if (kache_ends(path, suffixes[i].end))
			return suffixes[i].language;
	return NULL;
}

static void name_outputs(struct state *s)
{
	struct kache_cc_args *a = s->a;

	if (!a->output) {
		KACHE_AUTO_FREE char *end = kache_asprintf(".%s", s->end), *name = with_end(a->source, true, end);

		a->output = s->directory ? kache_path_join(s->directory, name) : kache_strdup(name);
	}
	if (s->deps)
		a->depfile = s->depfile ? kache_strdup(s->depfile) : with_end(a->output, false, ".d");
	if (!*a->output)
		refuse(a, "output-not-a-file", NULL);
	if (a->depfile && (!*a->depfile || !strcmp(a->depfile, "-")))
		refuse(a, "dependency-flags", "-MF");
}

static void conclude(struct state *s)
{
	struct kache_cc_args *a = s->a;
	const char *language;

	if (!s->end && a->argv.n && (!a->why || !strcmp(a->why, "shell-word"))) {
		free(a->detail);	/* what is not a compile is called that, whatever else it is */
		a->why = a->detail = NULL;
		refuse(a, "link", NULL);
	}
	if (!a->source)
		refuse(a, a->argv.n ? "no-source" : "query", NULL);
	check_host(s);
	if (s->sources > 1)
		refuse(a, "several-sources", NULL);
	if (a->why)
		return;
	if (!strcmp(a->source, "-")) {
		refuse(a, "standard-input", NULL);
		return;
	}
	language = a->language ? a->language : language_of(a->source);
	if (!language || (strcmp(language, "cu") && strcmp(language, "c") && strcmp(language, "c++"))) {
		refuse(a, a->language ? "language" : "other-input", a->language ? a->language : a->source);
		return;
	}
	if (!a->language)
		a->language = kache_strdup(language);
	a->assembly = !strcmp(s->end, "ptx");
	name_outputs(s);
}

void kache_nvcc_args_parse(int argc, char *const *argv, const char *prepend, const char *append, const char *cwd,
			   struct kache_cc_args *out)
{
	struct state s = { .a = out, .cwd = cwd };
	struct kache_strs all = { NULL, 0, 0 };

	*out = (struct kache_cc_args){ 0 };
	variable(&s, "NVCC_PREPEND_FLAGS", prepend);
	for (int i = 0; i < argc; i++)
		kache_strs_add(&out->argv, argv[i]);
	variable(&s, "NVCC_APPEND_FLAGS", append);
	expand(&s, &out->argv, 0, &all);
	kache_strs_release(&out->argv);
	out->argv = all;
	for (size_t i = 0; i < out->argv.n;)
		i += argument(&s, i);
	conclude(&s);
	free(s.depfile);
	free(s.directory);
	kache_strs_release(&s.for_host);
	kache_strs_release(&s.unknown);
}
