/* The invocation key: everything that is known before a source is read. */
#include "config.h"
#include "wrapper/call.h"

#include "base/path.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Raised whenever the meaning of keys, manifests or entries changes: an old store then just misses. */
#define KEY_RECIPE "6"

/* Read by rustc and of effect on its output or its success, reported in dep-info or not. */
static const char *const counted[] = {
	"RUSTC_BOOTSTRAP", "RUSTC_FORCE_RUSTC_VERSION", "RUSTC_OVERRIDE_VERSION_STRING", "LLVM_OVERRIDE_PRODUCER",
	"RUST_TARGET_PATH", "RUSTC_FORCE_INCR_COMP_ARTIFACT_HEADER", "SYSROOT",
};

/* Likewise by clippy. */
static const char *const clippy_counted[] = { "CARGO_PKG_RUST_VERSION", "CLIPPY_DISABLE_DOCS_LINKS" };

/* NAME-HASH/ with 16 hexadecimal digits, as cargo names its directory of a registry or a repository. */
static bool of_cargo(const char *name)
{
	const char *end = strchr(name, '/');

	return end && end - name > 17 && end[-17] == '-' && strspn(end - 16, "0123456789abcdef") == 16;
}

/* Where the path of cargo's home ends: "<home>/registry/src/NAME-HASH/…", "<home>/git/checkouts/NAME-HASH/…". NULL elsewhere: a
 * crate may well be called "registry". */
static const char *home_end(const char *path)
{
	static const char *const below[] = { "/registry/src/", "/git/checkouts/" };

	for (size_t i = 0; i < sizeof below / sizeof *below; i++)
		for (const char *at = path; (at = strstr(at, below[i])); at++)
			if (at != path && of_cargo(at + strlen(below[i])))
				return at;
	return NULL;
}

bool kache_call_immutable(const char *path)
{
	return home_end(path);
}

static char *cargo_home_of(const char *path)
{
	const char *end = home_end(path);

	return end ? kache_strndup(path, (size_t)(end - path)) : NULL;
}

char *kache_call_profile_dir(const char *out_dir)
{
	const char *base = kache_path_base(out_dir), *at;

	if (!strcmp(base, "deps") || !strcmp(base, "examples"))
		return kache_path_dir(out_dir);
	for (at = strstr(out_dir, "/build/"); at && strstr(at + 1, "/build/");)
		at = strstr(at + 1, "/build/");
	return at && at != out_dir ? kache_strndup(out_dir, (size_t)(at - out_dir)) : NULL;
}

/* That above --out-dir. Elsewhere (plain rustc, build scripts' probes) the directory of OUT_DIR tells. */
static char *profile_dir(const struct kache_call *c)
{
	const char *named[] = { c->args.out_dir, getenv("OUT_DIR") };
	char *found = NULL;

	for (size_t i = 0; i < 2 && !found; i++) {
		KACHE_AUTO_FREE char *dir = named[i] ? kache_path_absolute(c->cwd, named[i]) : NULL;

		found = dir ? kache_call_profile_dir(dir) : NULL;
	}
	return found;
}

static void add_package_tokens(struct kache_call *c)
{
	KACHE_AUTO_FREE char *home = *kache_env("CARGO_HOME") ? kache_strdup(kache_env("CARGO_HOME"))
							      : kache_path_join(kache_env("HOME"), ".cargo");
	const char *source = c->args.source && c->args.source[0] == '/' ? c->args.source : "";
	const char *manifest = kache_env("CARGO_MANIFEST_DIR");
	KACHE_AUTO_FREE char *from_source = cargo_home_of(source);
	KACHE_AUTO_FREE char *from_cwd = cargo_home_of(c->cwd);
	KACHE_AUTO_FREE char *name = NULL;

	/* The spelling that cargo uses first; where cargo home is a symlink the cwd has the other one. */
	kache_tokens_add(&c->tokens, "cargo", from_source, c->remap ? "/kache/cargo" : NULL, c->remap);
	kache_tokens_add(&c->tokens, "cargo", from_cwd, c->remap ? "/kache/cargo" : NULL, c->remap);
	kache_tokens_add(&c->tokens, "cargo", home, c->remap ? "/kache/cargo" : NULL, c->remap);
	if (from_source || from_cwd)
		return;
	if (!*source || c->probe) {	/* a member: cargo runs rustc in the workspace root */
		kache_tokens_add(&c->tokens, "ws", c->cwd, c->remap ? "/proc/self/cwd" : NULL, c->remap);
		return;
	}
	name = kache_asprintf("/kache/src/%s-%s", kache_env("CARGO_PKG_NAME"), kache_env("CARGO_PKG_VERSION"));
	kache_tokens_add(&c->tokens, "pkg", *manifest ? manifest : c->cwd, c->remap ? name : NULL, c->remap);
	kache_tokens_add(&c->tokens, "pkg", c->cwd, c->remap ? name : NULL, c->remap);
}

static bool is_utf8(const char *s)
{
	size_t left = s ? strlen(s) : 0, n;

	for (; left; s += n, left -= n) {
		n = kache_utf8_length((const unsigned char *)s, left);
		if (!n)
			return false;
	}
	return true;
}

/* rustc takes arguments in UTF-8 only; of a directory with another name we can't tell it anything. */
static bool may_remap(const struct kache_call *c)
{
	const struct kache_strs *base = kache_conf_list(c->conf, KACHE_CONF_BASE_DIRS);
	bool good = is_utf8(c->cwd) && is_utf8(c->profile_dir) && is_utf8(kache_env("CARGO_HOME")) && is_utf8(kache_env("HOME")) &&
		    is_utf8(kache_env("CARGO_MANIFEST_DIR")) && is_utf8(c->args.source);

	for (size_t i = 0; i < base->n && good; i++)
		good = is_utf8(base->v[i]);
	return good;
}

void kache_call_tokens(struct kache_call *c)
{
	const struct kache_strs *base = kache_conf_list(c->conf, KACHE_CONF_BASE_DIRS);
	const char *profile;

	kache_tokens_release(&c->tokens);
	free(c->profile_dir);
	free(c->profile);
	c->profile_dir = profile_dir(c);
	c->remap = kache_conf_bool(c->conf, KACHE_CONF_REMAP) && !c->args.remap_off && c->args.class == KACHE_RUST_COMPILE &&
		   !c->edited && may_remap(c);
	profile = c->profile_dir ? kache_path_base(c->profile_dir) : "";
	c->profile = kache_strdup(profile);
	/* No output holds the target directory but through OUT_DIR, which counts by itself: a token always. */
	kache_tokens_add(&c->tokens, "target", c->profile_dir, c->remap ? "/kache/target" : NULL, true);
	add_package_tokens(c);
	for (size_t i = 0; i < base->n && i < 8; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("base%zu", i);
		KACHE_AUTO_FREE char *to = kache_asprintf("/kache/base%zu", i);

		kache_tokens_add(&c->tokens, name, base->v[i], c->remap ? to : NULL, c->remap);
	}
	kache_tokens_add(&c->tokens, "sysroot", c->compiler.sysroot, NULL, true);
}

/* FROM=TO: FROM is a place of this machine, TO goes into the output as it is. */
static void remap_part(struct kache_call *c, const char *value, struct kache_buf *out)
{
	const char *eq = strrchr(value, '=');
	size_t len = eq ? (size_t)(eq - value) : strlen(value);

	kache_tokens_value(&c->tokens, value, len, out);
	kache_buf_str(out, value + len);
}

static void add_parts(struct kache_call *c, struct kache_hasher *h)
{
	for (size_t i = 0; i < c->args.n_parts; i++) {
		const struct kache_rust_part *p = &c->args.parts[i];
		KACHE_AUTO_BUF struct kache_buf value = KACHE_BUF_INIT;

		if (!strcmp(p->label, "--remap-path-prefix"))
			remap_part(c, p->value, &value);
		else if (p->paths)
			kache_tokens_value(&c->tokens, p->value, strlen(p->value), &value);
		else
			kache_buf_str(&value, p->value);
		kache_key_bytes(c, h, p->label, value.data, value.len);
	}
}

static void add_variables(struct kache_call *c, struct kache_hasher *h, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *value = getenv(names[i]);

		if (value) {
			KACHE_AUTO_FREE char *label = kache_concat("env ", names[i], NULL);

			kache_key_text(c, h, label, value);
		}
	}
}

static void add_environment(struct kache_call *c, struct kache_hasher *h)
{
	add_variables(c, h, counted, sizeof counted / sizeof *counted);
	if (c->compiler.clippy)
		add_variables(c, h, clippy_counted, sizeof clippy_counted / sizeof *clippy_counted);
	kache_key_declared(c, h);
}

/* cargo has a place of its own for these. A user may give a program such a name, too. */
static bool is_build_script(const struct kache_rust_args *a)
{
	const char *dir = a->out_dir ? a->out_dir : "", *base = kache_path_base(dir);

	return kache_starts(a->crate, "build_script_") && strstr(dir, "/build/") && strcmp(base, "deps") && strcmp(base, "examples");
}

const char *kache_call_kind(const struct kache_call *c)
{
	const struct kache_rust_args *a = &c->args;

	if (a->class == KACHE_RUST_QUERY || c->probe)
		return "probe";
	if (a->test)
		return "test";
	if (is_build_script(a))
		return "build-script";
	if (a->crate_types & KACHE_CRATE_PROC_MACRO)
		return a->emit & KACHE_EMIT_LINK ? "proc-macro" : "check";
	if (!(a->emit & KACHE_EMIT_LINK))
		return "check";
	if (a->crate_types & KACHE_CRATE_BIN)
		return "bin";
	if (a->crate_types & (KACHE_CRATE_LIB | KACHE_CRATE_RLIB))
		return "lib";
	return a->crate_types & KACHE_CRATE_STATICLIB ? "staticlib" : "dylib";
}

char *kache_call_package(const struct kache_call *c)
{
	const char *package = kache_env("CARGO_PKG_NAME");
	char *name = kache_strdup(*package && c->args.crate ? package : c->args.crate ? c->args.crate : "rustc");

	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	return name;
}

void kache_call_invocation(struct kache_call *c)
{
	KACHE_AUTO_FREE char *cwd = kache_tokens_path(&c->tokens, c->cwd);
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_key_text(c, &h, "recipe", KEY_RECIPE);
	kache_key_text(c, &h, "compiler", kache_hash_hex(&c->compiler.id, hex));
	kache_buf_fmt(&c->describe, "version %s\n", c->compiler.version);
	kache_key_text(c, &h, "driver", c->compiler.clippy ? "clippy-driver" : "rustc");
	kache_key_text(c, &h, "remap", c->remap ? "yes" : "no");
	if (c->args.class == KACHE_RUST_QUERY)	/* answers name the sysroot */
		kache_key_text(c, &h, "sysroot", c->compiler.sysroot);
	else
		kache_key_text(c, &h, "cwd", cwd);
	if (c->args.source) {
		KACHE_AUTO_FREE char *source = kache_tokens_path(&c->tokens, c->args.source);

		kache_key_text(c, &h, "source", source);
		if (!strcmp(c->args.source, "-"))
			kache_key_digest(c, &h, "stdin", c->input.data ? c->input.data : "", c->input.len);
	}
	add_parts(c, &h);
	if (c->args.native_cpu)
		kache_key_cpu(c, &h);
	add_environment(c, &h);
	kache_hasher_end(&h, &c->invocation);
}
