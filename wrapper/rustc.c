/* rustc behind RUSTC_WRAPPER: what is asked for, and what really runs. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "wrapper/run.h"
#include "wrapper/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool kache_is_rustc(const char *program)
{
	const char *base = kache_path_base(program), *named = getenv("RUSTC");

	if (!strcmp(base, "rustc") || !strcmp(base, "clippy-driver") || kache_starts(base, "rustc-"))
		return true;
	return named && !strcmp(named, program);
}

/* Diagnostics were laid out for another width: they serve if no line would have come out differently. */
static bool serves(const struct kache_call *c, const struct kache_entry *e)
{
	unsigned then = e->width ? e->width : 140, now = c->width ? c->width : 140;

	/* Messages in JSON for cargo may have no text that was laid out. */
	return then == now || !e->err_len || (e->err[0] == '{' && !memmem(e->err, e->err_len, "\"rendered\":\"", 12));
}

/* A question that a build script asks: its source is in OUT_DIR or on standard input, and so is the
 * place for the answer. */
static bool is_probe(const struct kache_call *c)
{
	const char *out = getenv("OUT_DIR");
	KACHE_AUTO_FREE char *dir = c->args.out_dir ? kache_path_absolute(c->cwd, c->args.out_dir) : NULL;

	if (!out || c->args.json_artifacts)
		return false;
	return c->args.to_stdout || (dir && kache_path_below(dir, out, NULL));
}

static int prepare_compiler(struct kache_call *c, struct kache_error *err)
{
	const char *base = kache_path_base(c->argv[0]);

	c->compiler.clippy = !strcmp(base, "clippy-driver") && c->argv[1] && c->argv[1][0] != '-' && c->argv[1][0] != '@';
	return kache_call_compiler(c, err);
}

static const char *prepare(struct kache_call *c, char **argv, const char **detail, struct kache_error *err)
{
	const char *reason;
	int argc = 1, skip;
	char **named;

	*detail = NULL;
	reason = kache_call_begin(c, argv, err);
	if (reason)
		return reason;
	while (argv[argc])
		argc++;
	/* clippy-driver is given the rustc that cargo would have run, as its first argument. */
	skip = 1 + (!strcmp(kache_path_base(argv[0]), "clippy-driver") && argc > 1 && argv[1][0] != '-' && argv[1][0] != '@');
	kache_rust_args_parse(argc - skip, argv + skip, c->cwd, &c->args);
	c->probe = c->args.class == KACHE_RUST_COMPILE && is_probe(c);
	named = kache_rust_autocfg(c, argc - skip, argv + skip);
	if (named) {
		kache_rust_args_release(&c->args);
		kache_rust_args_parse(argc - skip, named, c->cwd, &c->args);
	}
	c->query = c->args.class == KACHE_RUST_QUERY;
	c->unit = c->args.crate;
	c->target = c->args.target;
	c->width = c->args.width;
	if (kache_call_store(c, err))
		return "store";
	if (c->args.class == KACHE_RUST_DECLINE) {
		*detail = c->args.detail;
		return c->args.why;
	}
	c->kind = kache_call_kind(c);
	c->package = kache_call_package(c);
	reason = kache_call_bypassed(c, c->args.source, &c->args.argv, kache_rust_links(&c->args), detail);
	if (reason)
		return reason;
	*detail = NULL;
	if (getenv("RUSTC_LOG")) {
		*detail = "RUSTC_LOG";
		return "compiler-log";
	}
	if (c->args.source && !strcmp(c->args.source, "-") && !kache_call_read_input(c))
		return "standard-input";
	if (prepare_compiler(c, err)) {
		*detail = err->text;
		return "unknown-compiler";
	}
	kache_call_tokens(c);
	kache_call_invocation(c);
	c->event.invocation = &c->invocation;
	return NULL;
}

/* What was written a moment ago (by a build script, for us or for its own question) and what changes under
 * the compiler must not have the same time: wait for the next tick of the clock that stamps files. */
static void settle(const struct kache_call *c)
{
	const char *out = getenv("OUT_DIR");
	KACHE_AUTO_FREE char *dir = out ? kache_path_dir(out) : NULL;
	KACHE_AUTO_FREE char *output = dir ? kache_path_join(dir, "output") : NULL;

	if (output)
		kache_wait_for_tick(output);
	if (c->args.source)
		kache_wait_for_tick(c->args.source);
}

/* As asked, but for: path remapping, -C incremental taken out, dep-info asked for. A crate that is being edited: as asked. */
static int command(struct kache_call *c, struct kache_run *run, struct kache_strs *argv, char **file, struct kache_error *err)
{
	const struct kache_rust_args *a = &c->args;
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	size_t fixed;

	/* With -o - a second kind of output would go to a file: there the observer alone tells the inputs. */
	if (a->class == KACHE_RUST_COMPILE && !a->to_stdout) {
		run->own_depinfo = !(a->emit & KACHE_EMIT_DEPINFO);
		run->depinfo = run->own_depinfo ? kache_store_temp(c->store)
			: kache_rust_depinfo(c);
	}
	kache_strs_add(argv, c->compiler.program);
	if (c->compiler.inner)
		kache_strs_add(argv, c->compiler.inner);
	fixed = argv->n;
	if (c->remap)
		kache_tokens_remap_args(&c->tokens, argv);
	for (size_t i = 0; i < a->argv.n; i++) {
		if (a->incremental && i == a->incremental_at && !c->edited) {
			i += a->incremental_pair;
			continue;
		}
		kache_strs_add(argv, a->argv.v[i]);
	}
	if (run->own_depinfo)
		kache_strs_take(argv, kache_asprintf("--emit=%sdep-info=%s", a->explicit_emit ? "" : "link,", run->depinfo));
	if (!a->from_file)
		return KACHE_OK;
	/* It came by file because it was too long for a command line. */
	for (size_t i = fixed; i < argv->n; i++) {
		kache_buf_str(&text, argv->v[i]);
		kache_buf_ch(&text, '\n');
		free(argv->v[i]);
	}
	argv->n = fixed;
	*file = kache_store_temp(c->store);
	kache_strs_take(argv, kache_asprintf("@%s", *file));
	if (kache_file_replace(*file, text.data ? text.data : "", text.len, 0600))
		return kache_fail_errno(err, "argument file %s", *file);
	return KACHE_OK;
}

static void explain(const struct kache_call *c)
{
	KACHE_AUTO_STRS struct kache_strs remap = { NULL, 0, 0 };

	if (c->remap)
		kache_tokens_remap_args(&c->tokens, &remap);
	for (size_t i = 0; i < remap.n; i++)
		printf("%-12s %s\n", i ? "" : "added", remap.v[i]);
	if (c->args.incremental)
		printf("%-12s -C incremental (unless the crate is being edited)\n", "taken out");
}

const struct kache_language kache_language_rust = {
	.job_server = true,
	.prepare = prepare,
	.serves = serves,
	.edited = kache_rust_edited,
	.edit = kache_rust_edit,
	.note = kache_rust_note,
	.replacing = kache_rust_replacing,
	.settle = settle,
	.command = command,
	.collect = kache_rust_collect,
	.outputs = kache_rust_outputs,
	.place = kache_rust_place,
	.role = kache_rust_role,
	.linking = kache_rust_linking,
	.later = kache_rust_later,
	.ran = kache_rust_ran,
	.notice = kache_rust_notice,
	.told = kache_rust_told,
	.beside = kache_script_beside,
	.stored = kache_script_set_aside,
	.explain = explain,
};
