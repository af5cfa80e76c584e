#include "config.h"
#include "wrapper/cc.h"
#include "wrapper/rustc.h"

#include "base/json.h"
#include "wrapper/inputs.h"
#include "wrapper/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: kache explain [--json] -- rustc|cc|nvcc ARGUMENT…\n"
	"\n"
	"Shows how one call of the compiler would be keyed and treated: whether it can be cached, every\n"
	"component of its invocation key, what the compiler would be told to remap, and whether it would hit\n"
	"now. Run it in the directory and with the environment of the call. Nothing is compiled or stored.\n";

static void explain_json(struct kache_call *c, const char *reason, const char *detail, const char *state,
			 const char *changed)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_json j = { .out = &b };
	char hex[KACHE_HEX_LEN + 1];

	kache_json_open(&j, NULL, '{');
	kache_json_bool(&j, "cacheable", !reason);
	if (reason) {
		kache_json_str(&j, "reason", reason);
		kache_json_str(&j, "detail", detail);
	} else {
		kache_json_str(&j, "crate", c->unit);
		kache_json_str(&j, "kind", c->kind);
		kache_json_str(&j, "invocation", kache_hash_hex(&c->invocation, hex));
		kache_json_str(&j, "state", state);
		kache_json_str(&j, "changed", changed);
		kache_json_open(&j, "components", '[');
		for (const char *p = c->describe.data; *p; p += strcspn(p, "\n") + 1) {
			KACHE_AUTO_FREE char *line = kache_strndup(p, strcspn(p, "\n"));

			kache_json_str(&j, NULL, line);
		}
		kache_json_close(&j, ']');
	}
	kache_json_close(&j, '}');
	puts(b.data);
}

static void explain_text(struct kache_call *c, const char *state, const char *changed)
{
	char hex[KACHE_HEX_LEN + 1];

	printf("%-12s %s (%s)\n", c->lang == &kache_language_rust ? "crate" : "source", c->unit ? c->unit : "-", c->kind);
	printf("compiler     %s\n             %s\n", c->compiler.version, c->compiler.program);
	printf("invocation   %s\n", kache_hash_hex(&c->invocation, hex));
	printf("now          %s%s%s\n", state, changed ? ": " : "", changed ? changed : "");
	for (size_t i = 0; i < c->tokens.n; i++)
		printf("%-12s {%s} = %s\n", i ? "" : "directories", c->tokens.t[i].name, c->tokens.t[i].path);
	c->lang->explain(c);
	puts("components of the key");
	for (const char *p = c->describe.data; *p; p += strcspn(p, "\n") + 1)
		printf("  %.*s\n", (int)strcspn(p, "\n"), p);
}

int kache_explain(int argc, char **argv)
{
	static struct kache_call call;
	struct kache_call *c = &call;
	KACHE_AUTO_FREE char *changed = NULL;
	const char *detail, *reason, *state = "new: this invocation has not been seen";
	struct kache_error err;
	struct kache_manifest m;
	bool json = false;
	size_t index;
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage, stdout);
			return 0;
		}
		if (strcmp(argv[i], "--json")) {
			fprintf(stderr, "kache explain: unknown option %s\n", argv[i]);
			return 2;
		}
		json = true;
	}
	i += i < argc && !strcmp(argv[i], "--");
	if (i >= argc || (!kache_is_rustc(argv[i]) && !kache_is_cc(argv[i]))) {
		fprintf(stderr, "kache explain: wants a call of rustc, clippy-driver or a C compiler after -- (see kache explain --help)\n");
		return 2;
	}
	c->lang = kache_is_rustc(argv[i]) ? &kache_language_rust : &kache_language_c;
	reason = c->lang->prepare(c, argv + i, &detail, &err);
	if (err.text[0]) {
		fprintf(stderr, "kache: %s\n", err.text);
		return 1;
	}
	if (!reason && !kache_manifest_get(c->store, &c->invocation, &m)) {
		state = kache_inputs_match(c, &m, &index, &changed) ? "miss, changed" : "hit";
		kache_manifest_release(&m);
	}
	if (json)
		explain_json(c, reason, detail, state, changed);
	else if (reason)
		printf("passes through: %s%s%s\n", reason, detail ? " " : "", detail ? detail : "");
	else
		explain_text(c, state, changed);
	return 0;
}
