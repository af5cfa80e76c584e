/* core/key: tokens, stored text, dep-info, the argument model. */
#include "config.h"
#include "tap.h"

#include "base/buf.h"
#include "key/depinfo.h"
#include "key/rustargs.h"
#include "key/tokens.h"

static void tokens_here(struct kache_tokens *t)
{
	*t = (struct kache_tokens){ .n = 0 };
	kache_tokens_add(t, "target", "/w/my proj/target/debug", "/kache/target", true);
	kache_tokens_add(t, "cargo", "/h/.cargo", "/kache/cargo", true);
	kache_tokens_add(t, "ws", "/w/my proj", "/proc/self/cwd", true);
	kache_tokens_add(t, "sysroot", "/h/tool", NULL, true);
}

static void test_tokens(void)
{
	struct kache_tokens t;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_STRS struct kache_strs args = { NULL, 0, 0 };
	char *s;

	tokens_here(&t);
	s = kache_tokens_path(&t, "/w/my proj/target/debug/deps/x.rmeta");
	is_str(s, "{target}/deps/x.rmeta", "the longest directory wins");
	free(s);
	s = kache_tokens_path(&t, "/w/my projects/a.rs");
	is_str(s, "/w/my projects/a.rs", "only whole components count");
	free(s);
	s = kache_tokens_path(&t, "/w/my proj");
	is_str(s, "{ws}", "the directory itself");
	free(s);
	s = kache_tokens_expand(&t, "{cargo}/registry/x");
	is_str(s, "/h/.cargo/registry/x", "expanded");
	free(s);
	ok(!kache_tokens_expand(&t, "{nowhere}/x"), "an unknown token has no place");
	kache_tokens_value(&t, "a=/h/.cargo:/h/.cargo2:/h/.cargo/x", 34, &b);
	is_str(b.data, "a={cargo}:/h/.cargo2:{cargo}/x", "a value with several paths");
	kache_tokens_remap_args(&t, &args);
	is_int(args.n, 3, "the toolchain is not remapped");
	ok(strstr(args.v[2], "--remap-path-prefix=/w/my proj/target/debug=/kache/target") != NULL, "longest comes last");
	kache_tokens_release(&t);
}

static void round_trip(enum kache_text kind, const char *text, const char *packed, const char *name)
{
	struct kache_tokens here, there = { .n = 0 };
	KACHE_AUTO_BUF struct kache_buf p = KACHE_BUF_INIT, u = KACHE_BUF_INIT;

	tokens_here(&here);
	ok(kache_text_pack(&here, kind, "/w/my proj/target/debug/deps", text, strlen(text), &p), "%s: packs", name);
	is_str(p.data, packed, name);
	ok(kache_text_unpack(&here, kind, "/w/my proj/target/debug/deps", p.data, p.len, &u), "%s: unpacks", name);
	is_str(u.data, text, name);
	ok(!kache_text_unpack(&there, kind, NULL, packed, strlen(packed), &u) || !strchr(packed, 1),
	   "%s: a place without that directory refuses", name);
	kache_tokens_release(&here);
}

static void test_text(void)
{
	static const char coloured[] = "{\"rendered\":\" \\u001b[0m--> \\u001b[0m\\u001b[0m/kache/cargo/r.rs:1\"}";
	struct kache_tokens t;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	round_trip(KACHE_TEXT_STREAM, "{\"artifact\":\"/w/my proj/target/debug/deps/l.rmeta\"}\nwarn /w/my proj/a.rs:1\n\n",
		   "{\"artifact\":\"\001out\002/l.rmeta\"}\nwarn \001ws\002/a.rs:1\n\n", "stream");
	round_trip(KACHE_TEXT_STREAM, "{\"rendered\":\"\\u001b[0m\\u001b[1;38;5;12m/w/my proj/a.rs\\u001b[0m\\n/w/my proj/b.rs\"}",
		   "{\"rendered\":\"\\u001b[0m\\u001b[1;38;5;12m\001ws\002/a.rs\\u001b[0m\\n\001ws\002/b.rs\"}",
		   "colours and lines in JSON");
	round_trip(KACHE_TEXT_STREAM, "--> \033[1m/w/my proj/a.rs\033[0m", "--> \033[1m\001ws\002/a.rs\033[0m", "colours");
	round_trip(KACHE_TEXT_STREAM, "{\"a\":\"x[1m/w/my proj/a \\\\n/w/my proj/b [m/w/my proj/c\"}",
		   "{\"a\":\"x[1m/w/my proj/a \\\\n/w/my proj/b [m/w/my proj/c\"}", "what only looks like them");
	round_trip(KACHE_TEXT_STREAM, "/w/my proj/x\n/h/.cargo", "\001ws\002/x\n\001cargo\002", "marker at a line's start");
	round_trip(KACHE_TEXT_DEPINFO, "/w/my\\ proj/a.d: /w/my\\ proj/src/l\\ x.rs\n# env-dep:OUT_DIR=/w/my proj/o\n",
		   "\001ws\002/a.d: \001ws\002/src/l\\ x.rs\n# env-dep:OUT_DIR=\001ws\002/o\n", "dep-info");
	tokens_here(&t);
	kache_text_localize(&t, "{\"file_name\":\"/kache/cargo/r.rs\"}", 33, &b);
	is_str(b.data, "{\"file_name\":\"/h/.cargo/r.rs\"}", "remapped names are read as real ones");
	kache_buf_reset(&b);
	kache_text_localize(&t, coloured, strlen(coloured), &b);
	is_str(b.data, "{\"rendered\":\" \\u001b[0m--> \\u001b[0m\\u001b[0m/h/.cargo/r.rs:1\"}", "also behind a change of colour");
	ok(!kache_text_pack(&t, KACHE_TEXT_STREAM, NULL, "a\001b", 3, &b), "control bytes are refused");
	kache_tokens_release(&t);
}

static void test_depinfo(void)
{
	static const char text[] =
		"/t/a.d: src/lib.rs src/with\\ space.rs\n\n/t/liba.rmeta: src/lib.rs src/with\\ space.rs\n\n"
		"src/lib.rs:\nsrc/with\\ space.rs:\n\n# env-dep:A=1=2\n# env-dep:B\n# env-dep:C=x\\ny\\\\z\n";
	struct kache_depinfo d;

	is_int(kache_depinfo_parse(text, sizeof text - 1, &d), 0, "parses");
	is_int(d.files.n, 2, "each file once");
	is_str(d.files.v[1], "src/with space.rs", "escaped space");
	is_str(d.env_set.v[0], "A=1=2", "variable");
	is_str(d.env_set.v[1], "C=x\ny\\z", "escaped value");
	is_str(d.env_unset.v[0], "B", "unset variable");
	kache_depinfo_release(&d);
	ok(kache_depinfo_parse("garbage", 7, &d) != 0, "garbage is refused");
}

static struct kache_rust_args parse(const char *line)
{
	KACHE_AUTO_STRS struct kache_strs argv = { NULL, 0, 0 };
	struct kache_rust_args a;

	for (const char *p = line; *p;) {
		size_t n = strcspn(p, " ");

		kache_strs_addn(&argv, p, n);
		p += n + (p[n] == ' ');
	}
	kache_rust_args_parse((int)argv.n, argv.v, "/", &a);
	return a;
}

#define COMPILE "--crate-name x --crate-type lib --emit=dep-info,metadata,link --out-dir /o x.rs "

static void test_arguments(void)
{
	static const struct { const char *line; enum kache_rust_class class; const char *why; } cases[] = {
		{ COMPILE, KACHE_RUST_COMPILE, NULL },
		{ COMPILE "-Copt-level=3 -C codegen_units=1 -Ldependency=/d -lstatic=z", KACHE_RUST_COMPILE, NULL },
		{ COMPILE "--frobnicate", KACHE_RUST_DECLINE, "unknown-flag" },
		{ COMPILE "-C frob=1", KACHE_RUST_DECLINE, "unknown-flag" },
		{ COMPILE "-C save-temps", KACHE_RUST_DECLINE, "save-temps" },
		{ COMPILE "-Z dump-mir=all", KACHE_RUST_DECLINE, "unstable-flag" },
		{ COMPILE "-o /tmp/y", KACHE_RUST_DECLINE, "explicit-output" },
		{ "--crate-name x --crate-type=lib --emit=metadata -o - -", KACHE_RUST_COMPILE, NULL },
		{ "--crate-name x --crate-type=lib --emit=metadata,link -o - -", KACHE_RUST_DECLINE, "explicit-output" },
		{ COMPILE "--emit=link=/x", KACHE_RUST_DECLINE, "explicit-output" },
		{ COMPILE "-C split-debuginfo=packed", KACHE_RUST_DECLINE, "split-debuginfo" },
		{ COMPILE "-C split-debuginfo=off", KACHE_RUST_COMPILE, NULL },
		{ COMPILE "y.rs", KACHE_RUST_DECLINE, "several-sources" },
		{ COMPILE "--target x.json", KACHE_RUST_DECLINE, "target-spec" },
		{ COMPILE "--sysroot /s", KACHE_RUST_DECLINE, "unknown-flag" },
		{ COMPILE "@/nonexistent", KACHE_RUST_DECLINE, "argument-file" },
		{ "x.rs --crate-type lib --out-dir /o", KACHE_RUST_DECLINE, "no-crate-name" },
		{ "x.rs --crate-name x --out-dir /o", KACHE_RUST_DECLINE, "no-crate-type" },
		{ "--crate-name x --crate-type lib x.rs", KACHE_RUST_DECLINE, "no-out-dir" },
		{ "-vV", KACHE_RUST_QUERY, NULL },
		{ "- --crate-name ___ --print=file-names --print=cfg --crate-type bin", KACHE_RUST_QUERY, NULL },
		{ "--print=native-static-libs x.rs", KACHE_RUST_DECLINE, "print" },
		{ "--crate-name", KACHE_RUST_DECLINE, "unknown-flag" },
	};
	struct kache_rust_args a;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		a = parse(cases[i].line);
		is_int(a.class, cases[i].class, cases[i].line);
		if (cases[i].why)
			is_str(a.why, cases[i].why, "and why");
		kache_rust_args_release(&a);
	}
	a = parse(COMPILE "-C incremental=/i --extern priv:p=/d/libp-1.rmeta --extern proc_macro --cfg feature=\"b\" "
		  "--cfg feature=\"a\" --diagnostic-width=80 --json=diagnostic-rendered-ansi,artifacts");
	is_str(a.incremental, "/i", "incremental directory");
	ok(a.incremental_pair && !strcmp(a.argv.v[a.incremental_at], "-C"), "and where it stands");
	is_int(a.n_externs, 1, "externs with a path");
	is_str(a.externs[0].name, "p", "their name without options");
	is_str(a.features.v[0], "a", "features sorted");
	is_int(a.width, 80, "width");
	ok(a.json_artifacts && !kache_rust_links(&a), "artifact notices; a library does not link");
	kache_rust_args_release(&a);
	a = parse("--crate-name x --crate-type proc-macro --emit=dep-info,link --out-dir /o x.rs");
	ok(kache_rust_links(&a), "a procedural macro links");
	kache_rust_args_release(&a);
}

int main(void)
{
	test_tokens();
	test_text();
	test_depinfo();
	test_arguments();
	return done();
}
