/* mkstore DIRECTORY PACKAGE SEED [INVOCATION]: puts one entry into a store, as a compile would: two blobs,
 * dep-info, streams, and the manifest that leads to it. Prints the result key. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kache_error err;

static void must(int rc)
{
	if (!rc)
		return;
	fprintf(stderr, "mkstore: %s\n", err.text);
	exit(1);
}

static void add_blob(struct kache_store *s, struct kache_entry *e, const char *name, uint32_t role, unsigned mode,
		     const char *text)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	struct kache_output *o = kache_entry_add_output(e);

	if (kache_file_replace(temp, text, strlen(text), mode))
		must(kache_fail_errno(&err, "%s", temp));
	o->name = kache_strdup(name);
	o->role = role;
	o->mode = mode;
	o->size = strlen(text);
	kache_hash_bytes(text, strlen(text), &o->blob);
	must(kache_blob_put_temp(s, temp, mode & 0100, &o->blob, &err));
}

static void add_depinfo(struct kache_entry *e, const char *seed)
{
	struct kache_output *o = kache_entry_add_output(e);

	o->name = kache_strdup("x.d");
	o->role = KACHE_ROLE_DEPINFO;
	o->mode = 0644;
	o->inline_data = kache_asprintf("\1out/x: %s.rs", seed);
	o->size = strlen(o->inline_data);
}

static void make_manifest(struct kache_manifest *m, const char *package, const char *seed, const char *invocation)
{
	struct kache_input_set set = { .created_ms = 1000 + (unsigned char)seed[0], .n = 1 };

	*m = (struct kache_manifest){ .crate = kache_strdup(package), .package = kache_strdup(package),
				      .describe = kache_strdup("crate x\n") };
	kache_hash_bytes(invocation, strlen(invocation), &m->invocation);
	set.inputs = kache_calloc(1, sizeof *set.inputs);
	set.inputs[0].kind = KACHE_INPUT_FILE;
	set.inputs[0].name = kache_manifest_name(m, "src/lib.rs");
	kache_hash_bytes(seed, strlen(seed), &set.inputs[0].hash);
	kache_manifest_result(m, &m->invocation, &set, &set.result);
	kache_manifest_add(m, &set);
}

int main(int argc, char **argv)
{
	struct kache_entry e = { .created_ms = 1, .compile_ms = 20, .width = 80 };
	KACHE_AUTO_FREE char *invocation = NULL, *lib = NULL;
	char hex[KACHE_HEX_LEN + 1];
	struct kache_manifest m;
	struct kache_store *s;

	if (argc < 4)
		return 2;
	must(kache_store_open(argv[1], true, &s, &err));
	invocation = kache_asprintf("%s of %s", argc > 4 ? argv[4] : argv[3], argv[2]);
	make_manifest(&m, argv[2], argv[3], invocation);
	e.key = m.sets[0].result;
	e.invocation = m.invocation;
	e.crate = kache_strdup(argv[2]);
	e.package = kache_strdup(argv[2]);
	e.kind = kache_strdup("lib");
	e.target = kache_strdup("t");
	e.profile = kache_strdup("debug");
	e.features = kache_strdup("");
	e.compiler = kache_strdup("rustc 1");
	e.out = kache_strdup("");
	e.err = kache_strndup("warning\0\377\n", 10);
	e.err_len = 10;
	lib = kache_asprintf("rlib of %s %s", argv[2], argv[3]);
	add_blob(s, &e, "libx.rlib", KACHE_ROLE_RLIB, 0644, lib);
	add_blob(s, &e, "x", KACHE_ROLE_EXE, 0755, "the same program for all");
	add_depinfo(&e, argv[3]);
	must(kache_entry_put(s, &e, &err));
	must(kache_manifest_update(s, &m, &err));
	puts(kache_hash_hex(&e.key, hex));
	kache_entry_release(&e);
	kache_manifest_release(&m);
	kache_store_close(s);
	return 0;
}
