#include "config.h"
#include "key/ccargs.h"
#include "key/ccparts.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

enum shape { WORD, PREFIX, NEXT, BOTH };

struct flag {
	const char *text;
	unsigned char shape, action;
	const char *reason;
};

static const struct flag flags[] = {
#define CC_FLAG(text, shape, action, reason) { text, shape, KACHE_CC_##action, reason },
#include "key/ccargs.def"
#undef CC_FLAG
};

static const struct flag xclang_flags[] = {
#define CC_XCLANG(text, shape, action, reason) { text, shape, KACHE_CC_##action, reason },
#include "key/ccargs.def"
#undef CC_XCLANG
};

static const char *const llvm_starts[] = {
#define CC_LLVM(start) start,
#include "key/ccargs.def"
#undef CC_LLVM
	NULL
};

static const char *const f_names[] = {
#define CC_F(name) name,
#include "key/ccargs.def"
#undef CC_F
};

/* By the end of the source's name, as gcc(1), "Options Controlling the Kind of Output". */
static const struct { const char *end, *language; } suffixes[] = {
	{ ".c", "c" }, { ".i", "cpp-output" }, { ".cc", "c++" }, { ".cp", "c++" }, { ".cxx", "c++" }, { ".cpp", "c++" },
	{ ".CPP", "c++" }, { ".c++", "c++" }, { ".C", "c++" }, { ".ii", "c++-cpp-output" }, { ".s", "assembler" },
	{ ".S", "assembler-with-cpp" }, { ".sx", "assembler-with-cpp" },
	{ ".m", "objective-c" }, { ".mi", "objective-c-cpp-output" }, { ".mm", "objective-c++" }, { ".M", "objective-c++" },
	{ ".mii", "objective-c++-cpp-output" }, { ".h", "c-header" }, { ".hh", "c++-header" }, { ".hp", "c++-header" },
	{ ".hpp", "c++-header" }, { ".HPP", "c++-header" }, { ".hxx", "c++-header" }, { ".h++", "c++-header" },
	{ ".H", "c++-header" }, { ".tcc", "c++-header" },
	/* known, and not cached */
	{ ".cu", "cuda" }, { ".f", "fortran" }, { ".f90", "fortran" }, { ".F90", "fortran" }, { ".d", "d" }, { ".go", "go" },
	{ ".adb", "ada" }, { ".ll", "llvm" },
};

static const char *const cached_languages[] = {
	"c", "c++", "cpp-output", "c++-cpp-output", "assembler", "assembler-with-cpp", "objective-c", "objective-c++",
	"objective-c-cpp-output", "objective-c++-cpp-output", NULL
};

static const char *const header_languages[] = {
	"c-header", "c++-header", "objective-c-header", "objective-c++-header", NULL
};

enum { EXPAND_DEPTH = 10, EXPAND_FILES = 100, EXPAND_MAX = 1 << 20 };

/* While parsing. */
struct state {
	struct kache_cc_args *a;
	const char *language;	/* -x: for what follows it */
	bool compile;
	bool deps;		/* a list is asked for: by -MD or -MF, by -Wp, */
	bool named_deps, for_cpp_deps;
	bool emit_pch;
	const struct flag *xclang;	/* the last word for clang's front end, where that takes another */
	size_t sources, files;
	char *depfile, *source_language;
};

/* ---- response files ---- */

/* One word of a response file as libiberty's and LLVM's readers take it: quotes of both kinds, and a
 * backslash takes the next character as it is. False at the end. */
static bool next_word(const char **at, const char *end, struct kache_buf *word)
{
	const char *p = *at;
	char quote = 0;

	while (p < end && blank(*p))
		p++;
	if (p == end)
		return false;
	kache_buf_add(word, "", 0);
	for (; p < end && (quote || !blank(*p)); p++) {
		if (*p == '\\' && p + 1 < end)
			kache_buf_ch(word, *++p);
		else if (quote && *p == quote)
			quote = 0;
		else if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
		else
			kache_buf_ch(word, *p);
	}
	*at = p;
	return true;
}

static void expand(struct state *s, const char *arg, const char *cwd, int depth)
{
	struct kache_cc_args *a = s->a;
	KACHE_AUTO_FREE char *path = arg[0] == '@' ? kache_path_join(cwd, arg + 1) : NULL;
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const char *p;

	if (!path || !arg[1]) {
		kache_strs_add(&a->argv, arg);
		return;
	}
	if (a->why)	/* files that name each other end here */
		return;
	if (depth == EXPAND_DEPTH || ++s->files > EXPAND_FILES || kache_file_read(path, EXPAND_MAX, &text)) {
		refuse(a, "response-file", arg);
		return;
	}
	p = text.data;
	for (;;) {
		KACHE_AUTO_BUF struct kache_buf word = KACHE_BUF_INIT;

		if (!p || !next_word(&p, text.data + text.len, &word))
			return;
		if (word.len != strlen(word.data)) {
			refuse(a, "response-file", arg);
			return;
		}
		expand(s, word.data, cwd, depth + 1);
	}
}

/* ---- the table ---- */

static const struct flag *find(const struct flag *table, size_t n, const char *arg)
{
	const struct flag *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < n; i++) {
		const struct flag *f = &table[i];
		size_t len;

		if (f->text[1] != arg[1])
			continue;
		len = strlen(f->text);
		if (len > best_len && !strncmp(f->text, arg, len) && (!arg[len] || f->shape == PREFIX || f->shape == BOTH)) {
			best = f;
			best_len = len;
		}
	}
	return best;
}

static int compare_name(const void *key, const void *name)
{
	return strcmp(key, *(const char *const *)name);
}

static bool known_f(const char *arg)
{
	KACHE_AUTO_FREE char *name = NULL;

	if (arg[1] != 'f')
		return false;
	arg += kache_starts(arg, "-fno-") ? 5 : 2;
	name = kache_strndup(arg, strcspn(arg, "="));
	return bsearch(name, f_names, sizeof f_names / sizeof *f_names, sizeof *f_names, compare_name) != NULL;
}

/* What the preprocessor gets: "-Wp,a,b", "-Xpreprocessor a". label says by which of these. */
static void for_cpp(struct state *s, const char *label, const char *arg, const struct kache_strs *words)
{
	for (size_t i = 0; i < words->n; i++) {
		const char *w = words->v[i], *next = i + 1 < words->n ? words->v[i + 1] : NULL;

		if ((!strcmp(w, "-MD") || !strcmp(w, "-MMD")) && next && *next && next[0] != '-') {
			s->for_cpp_deps = true;
			s->deps = true;
			set(&s->depfile, next);
			part(s->a, label, w);
			i++;
		} else if ((!strcmp(w, "-MT") || !strcmp(w, "-MQ")) && next) {
			KACHE_AUTO_FREE char *both = kache_asprintf("%s,%s", w, next);

			part(s->a, label, both);
			i++;
		} else if (!strcmp(w, "-MP") || !strcmp(w, "-fopenmp") ||
			   ((kache_starts(w, "-D") || kache_starts(w, "-U") || kache_starts(w, "-I")) && w[2])) {
			part(s->a, label, w);
		} else {
			refuse(s->a, "preprocessor-flag", arg);
		}
	}
}

/* What the assembler gets. Those words that leave a listing somewhere are not among these. */
static void for_as(struct state *s, const char *arg, const struct kache_strs *given)
{
	static const char *const words[] = {
		"--noexecstack", "--execstack", "--divide", "--32", "--64", "--x32", "--fatal-warnings", "--warn", "--no-warn", "-W",
		"-g", "--gen-debug", "--gdwarf-2", "--gdwarf-3", "--gdwarf-4", "--gdwarf-5", "-mimplicit-it=always",
		"-mimplicit-it=thumb", "-mbig-obj", "--compress-debug-sections", "--nocompress-debug-sections",
		"--generate-missing-build-notes=yes", "--generate-missing-build-notes=no", NULL
	};
	static const char *const starts[] = {
		"-march=", "-mtune=", "-mcpu=", "-mfpu=", "-mrelax-relocations=", "--compress-debug-sections=", "-I", NULL
	};

	for (size_t i = 0; i < given->n; i++) {
		const char *w = given->v[i];
		bool known = in_list(words, w);

		for (const char *const *start = starts; *start && !known; start++)
			known = kache_starts(w, *start) && w[strlen(*start)];
		if (!known)
			refuse(s->a, "assembler-flag", arg);
		s->a->compressed |= kache_starts(w, "--compress");
	}
}

/* Words for another program: "a,b", or a single one that may hold commas. */
static void hand_on(struct state *s, const struct flag *f, const char *value)
{
	bool to_cpp = f->action == KACHE_CC_FOR_CPP || f->action == KACHE_CC_TO_CPP;
	bool single = f->action == KACHE_CC_TO_CPP || f->action == KACHE_CC_TO_AS;
	KACHE_AUTO_FREE char *arg = kache_asprintf("%s%s%s", f->text, single ? " " : "", value);
	KACHE_AUTO_STRS struct kache_strs words = { NULL, 0, 0 };

	for (const char *p = value; ; p++) {
		size_t len = single ? strlen(p) : strcspn(p, ",");

		kache_strs_addn(&words, p, len);
		p += len;
		if (!*p)
			break;
	}
	if (to_cpp) {
		for_cpp(s, f->text, arg, &words);
		return;
	}
	for_as(s, arg, &words);
	part(s->a, f->text, value);
}

static void for_llvm(struct state *s, const char *word)
{
	for (const char *const *start = llvm_starts; *start; start++)
		if (kache_starts(word, *start))
			return;
	refuse(s->a, "mllvm", word);
}

/* One word for clang's front end. Its value, where it takes one, is the next such word, whatever lies between them. */
static void for_clang(struct state *s, const char *word)
{
	const struct flag *f = s->xclang;

	part(s->a, "-Xclang", word);
	if (f) {
		s->xclang = NULL;
		if (f->action == KACHE_CC_TO_LLVM)
			for_llvm(s, word);
		return;
	}
	f = word[0] == '-' && word[1] ? find(xclang_flags, sizeof xclang_flags / sizeof *xclang_flags, word) : NULL;
	if (!f && (word[0] != '-' || !known_f(word)))
		refuse(s->a, "xclang", word);
	if (!f)
		return;
	s->xclang = f->shape == NEXT ? f : NULL;
	s->emit_pch |= f->action == KACHE_CC_EMIT_PCH;
	s->a->no_pch_times |= f->action == KACHE_CC_NO_TIMES;
	s->a->colour_given |= f->action == KACHE_CC_COLOUR;
}

static void act(struct state *s, const struct flag *f, const char *arg, const char *value)
{
	struct kache_cc_args *a = s->a;

	switch ((enum kache_cc_action)f->action) {
	case KACHE_CC_RECORD:
		a->record = a->place = true;
		break;
	case KACHE_CC_MANGLE:
		a->mangled = a->place = true;
		break;
	case KACHE_CC_PLACE:
		a->place = true;
		break;
	case KACHE_CC_COMPRESS:
		a->compressed = true;
		break;
	case KACHE_CC_COLOUR:
		a->colour_given = true;
		break;
	case KACHE_CC_ADDS:
		a->adds = true;
		break;
	case KACHE_CC_NATIVE:
		a->native_cpu |= !strcmp(value, "native");
		break;
	case KACHE_CC_OUTPUT:
		set(&a->output, value);
		return;
	case KACHE_CC_DEPFILE:	/* where the list goes is not in it */
		set(&s->depfile, value);
		s->named_deps = true;
		return;
	case KACHE_CC_DEPS:
		s->deps = s->named_deps = true;
		break;
	case KACHE_CC_TARGET:
		a->target_given = true;
		break;
	case KACHE_CC_LANGUAGE:
		s->language = strcmp(value, "none") ? value : NULL;
		break;
	case KACHE_CC_MODE:
		s->compile = true;
		a->assembly |= !strcmp(arg, "-S");
		break;
	case KACHE_CC_FOR_CPP:
	case KACHE_CC_FOR_AS:
	case KACHE_CC_TO_CPP:
	case KACHE_CC_TO_AS:
		hand_on(s, f, value);
		return;
	case KACHE_CC_TO_CLANG:
		for_clang(s, value);
		return;
	case KACHE_CC_TO_LLVM:
		for_llvm(s, value);
		break;
	case KACHE_CC_REFUSE:
		refuse(a, f->reason, arg);
		break;
	case KACHE_CC_CODE:
	case KACHE_CC_CPP:
	case KACHE_CC_INPUT:
	case KACHE_CC_MAP:
	case KACHE_CC_LINK:
	case KACHE_CC_EMIT_PCH:
	case KACHE_CC_NO_TIMES:
		break;
	}
	part(a, f->text, value);
	if (f->action == KACHE_CC_INPUT)
		a->parts[a->n_parts - 1].kind = KACHE_CC_PATH;
	else if (f->action == KACHE_CC_MAP)
		a->parts[a->n_parts - 1].kind = KACHE_CC_PATH_MAP;
}

static const char *language_of(const char *path)
{
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
		if (kache_ends(path, suffixes[i].end))
			return suffixes[i].language;
	return NULL;
}

static void source(struct state *s, const char *path)
{
	const char *language = s->language ? s->language : language_of(path);

	if (!language) {	/* an object or a library: the linker's */
		refuse(s->a, "other-input", path);
		return;
	}
	if (s->sources++)
		return;
	set(&s->a->source, path);
	set(&s->source_language, language);
}

/* One argument; returns how many it took. */
static size_t argument(struct state *s, size_t i)
{
	struct kache_cc_args *a = s->a;
	const char *arg = a->argv.v[i], *value;
	const struct flag *f;
	size_t len;

	if (arg[0] != '-' || !arg[1]) {
		source(s, arg);
		return 1;
	}
	f = find(flags, sizeof flags / sizeof *flags, arg);
	if (!f && known_f(arg)) {
		part(a, "-f", arg + 2);
		return 1;
	}
	if (!f) {
		KACHE_AUTO_FREE char *name = kache_strndup(arg, strcspn(arg, "="));

		refuse(a, "unknown-flag", name);
		return 1;
	}
	len = strlen(f->text);
	value = arg + len;
	if (f->shape == NEXT || (f->shape == BOTH && !*value)) {
		if (i + 1 >= a->argv.n) {
			refuse(a, "unknown-flag", arg);
			return 1;
		}
		act(s, f, arg, a->argv.v[i + 1]);
		return 2;
	}
	act(s, f, arg, value);
	return 1;
}

static void name_output(struct state *s)
{
	struct kache_cc_args *a = s->a;

	if (a->header)	/* beside the header: it is looked for there */
		a->output = kache_asprintf("%s.gch", a->source);
	else
		a->output = with_end(a->source, true, a->assembly ? ".s" : ".o");
}

static void conclude(struct state *s)
{
	struct kache_cc_args *a = s->a;
	bool named = a->output != NULL;

	if (!a->source)
		refuse(a, s->compile ? "no-source" : a->argv.n ? "link" : "query", NULL);
	else if (!s->compile && !a->header)
		refuse(a, "link", NULL);
	if (s->sources > 1)
		refuse(a, "several-sources", NULL);
	if (a->why)
		return;
	if (a->header && !strcmp(a->source, "-")) {
		refuse(a, "standard-input", NULL);
		return;
	}
	if (!a->header && !in_list(cached_languages, s->source_language)) {
		refuse(a, kache_ends(s->source_language, "-header") ? "modules" : "language", s->source_language);
		return;
	}
	if (s->xclang || (s->emit_pch && !a->header)) {
		refuse(a, "xclang", s->xclang ? s->xclang->text : "-emit-pch");
		return;
	}
	/* gcc leaves two files then. */
	if (a->header && a->assembly) {
		refuse(a, "precompiled-header", "-S");
		return;
	}
	if (named && !*a->output) {
		refuse(a, "output-not-a-file", NULL);
		return;
	}
	a->language = kache_strdup(s->source_language);
	if (!named)
		name_output(s);
	/* -Wp,-MD,FILE says where; what becomes of that with -MD or -MF beside it is anybody's guess. */
	if (s->for_cpp_deps && s->named_deps)
		refuse(a, "dependency-flags", "-Wp,");
	/* An assembler file that is not preprocessed has no dependencies, whatever was asked for. */
	if (s->deps && strcmp(a->language, "assembler"))
		a->depfile = s->depfile ? kache_strdup(s->depfile) : with_end(a->output, !named, ".d");
	if (a->depfile && (!strcmp(a->depfile, "-") || !*a->depfile))
		refuse(a, "dependency-flags", "-MF");
}

void kache_cc_args_parse(int argc, char *const *argv, const char *cwd, struct kache_cc_args *out)
{
	struct state s = { .a = out };

	*out = (struct kache_cc_args){ 0 };
	for (int i = 0; i < argc; i++)
		expand(&s, argv[i], cwd, 0);
	for (size_t i = 0; i < out->argv.n;)
		i += argument(&s, i);
	out->header = s.sources == 1 && in_list(header_languages, s.source_language);
	/* What is not a compile at all is called that, whatever else we do not know about it. */
	if (!s.compile && !out->header && out->why && (!strcmp(out->why, "other-input") || !strcmp(out->why, "unknown-flag"))) {
		out->why = "link";
		free(out->detail);
		out->detail = NULL;
	}
	conclude(&s);
	free(s.depfile);
	free(s.source_language);
}

void kache_cc_args_forwarded(const struct kache_strs *words, const char *cwd, struct kache_cc_args *out)
{
	KACHE_AUTO_FREE char **argv = kache_calloc(words->n + 2, sizeof *argv);
	char compile[] = "-c", source_[] = "x.cc";
	struct kache_cc_args a;

	for (size_t i = 0; i < words->n; i++)
		argv[i] = words->v[i];
	argv[words->n] = compile;
	argv[words->n + 1] = source_;
	kache_cc_args_parse((int)words->n + 2, argv, cwd, &a);
	if (a.why)
		refuse(out, a.why, a.detail);
	else if (strcmp(a.source, source_) || strcmp(a.language, "c++") || strcmp(a.output, "x.o") || a.depfile || a.assembly ||
		 a.target_given || a.place || a.adds)
		refuse(out, "host-flag", words->n ? words->v[0] : NULL);
	out->native_cpu |= a.native_cpu;
	out->colour_given |= a.colour_given;
	kache_cc_args_release(&a);
}

void kache_cc_args_release(struct kache_cc_args *a)
{
	for (size_t i = 0; i < a->n_parts; i++) {
		free(a->parts[i].label);
		free(a->parts[i].value);
	}
	free(a->parts);
	free(a->detail);
	free(a->source);
	free(a->language);
	free(a->output);
	free(a->depfile);
	free(a->host);
	kache_strs_release(&a->argv);
	*a = (struct kache_cc_args){ 0 };
}
