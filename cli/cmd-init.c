/* kache init: lets cargo, and CMake below it, use kache, and sets up the daemon's service. What is right already stays as it is. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/daemon-ask.h"
#include "cli/user-file.h"

#include "base/path.h"
#include "conf/edit.h"
#include "conf/toml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(int argc, char **argv);
const struct kache_command kache_cmd_init = {
	"init", "let cargo and CMake use kache, and set up the daemon's service",
	"usage: kache init [-y] [--no-service] [--check]\n"
	"\n"
	"  -y, --yes     do it without asking, also in the place of another cache\n"
	"  --no-service  leave the daemon alone: it starts by itself when it is needed\n"
	"  --check       say what would be done, and do nothing; exit status 1 if there is anything\n",
	run
};

struct options {
	bool yes, no_service, check;
};

/* Cargo has [env] for what it runs: a variable that is set already wins over it (The Cargo Book, "Configuration"). CMake takes the
 * launchers as defaults (cmake-env-variables(7)). The cc crate goes by the rustc wrapper. */
static const char *const keys[] = {
	"build.rustc-wrapper", "env.CMAKE_C_COMPILER_LAUNCHER", "env.CMAKE_CXX_COMPILER_LAUNCHER",
};
enum { KEYS = sizeof keys / sizeof *keys };

/* One file of cargo's, and what is to become of it. */
struct plan {
	char *file;
	struct kache_buf text;
	char *program;			/* as it is to stand there */
	char *is[KEYS];			/* what stands there now; NULL: nothing */
	bool table[KEYS];		/* in a table: { value = "…" } */
	size_t missing, others;		/* keys without a value; with another one than kache */
};

static void release(struct plan *p)
{
	for (size_t i = 0; i < KEYS; i++)
		free(p->is[i]);
	free(p->file);
	free(p->program);
	kache_buf_release(&p->text);
}

/* NULL without a home. */
static char *cargo_file(void)
{
	KACHE_AUTO_FREE char *home = kache_cargo_home();

	return home ? kache_cargo_config(home) : NULL;
}

/* Its full path, but for where every PATH leads: editors and services run cargo, too. Fresh memory or NULL. */
static char *program_name(void)
{
	KACHE_AUTO_FREE char *found = kache_path_search("kache", NULL), *cwd = getcwd(NULL, 0);

	if (!found)
		return NULL;
	if (!strcmp(found, "/usr/bin/kache") || !strcmp(found, "/usr/local/bin/kache"))
		return kache_strdup("kache");
	return kache_path_absolute(cwd ? cwd : "/", found);
}

/* A string, or the value of { value = "…", force = … }. Fresh memory or NULL. */
static char *value_of(const struct kache_toml *v)
{
	if (v && v->type == KACHE_TOML_TABLE)
		v = kache_toml_get(v, "value");
	if (!v)
		return NULL;
	return kache_strdup(v->type == KACHE_TOML_STRING ? v->text : kache_toml_type_name(v->type));
}

static int look(struct plan *p)
{
	struct kache_toml *tree = NULL;
	struct kache_error err;
	int rc = kache_cli_read(p->file, KACHE_CARGO_CONFIG_MAX, false, &p->text);

	if (rc && rc != KACHE_E_NOENT)
		return KACHE_EXIT_FAILED;
	if (kache_toml_parse(p->text.data ? p->text.data : "", p->text.len, &tree, &err))
		return kache_cli_fail("%s: %s; nothing was changed", p->file, err.text);
	for (size_t i = 0; i < KEYS; i++) {
		size_t len = strcspn(keys[i], ".");
		KACHE_AUTO_FREE char *name = kache_strndup(keys[i], len);
		const struct kache_toml *table = kache_toml_get(tree, name);

		if (table && table->type == KACHE_TOML_TABLE) {
			const struct kache_toml *value = kache_toml_get(table, keys[i] + len + 1);

			p->table[i] = value && value->type == KACHE_TOML_TABLE;
			p->is[i] = value_of(value);
		}
		p->missing += !p->is[i];
		p->others += p->is[i] && strcmp(kache_path_base(p->is[i]), "kache");
	}
	kache_toml_free(tree);
	return KACHE_EXIT_OK;
}

static bool is_kache(const struct plan *p, size_t i)
{
	return p->is[i] && !strcmp(kache_path_base(p->is[i]), "kache");
}

static void tell(const struct plan *p, const char *done, const char *replaced)
{
	printf("%s\n", p->file);
	for (size_t i = 0; i < KEYS; i++) {
		if (is_kache(p, i))
			printf("  %-32s \"%s\", as it should be\n", keys[i], p->is[i]);
		else if (p->is[i])
			printf("  %-32s \"%s\" %s \"%s\"\n", keys[i], p->is[i], replaced, p->program);
		else
			printf("  %-32s %s \"%s\"\n", keys[i], done, p->program);
	}
	fflush(stdout);
}

static bool confirmed(const char *question)
{
	char line[16];

	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int write_plan(struct plan *p)
{
	for (size_t i = 0; i < KEYS; i++) {
		KACHE_AUTO_FREE char *key = kache_concat(keys[i], p->table[i] ? ".value" : "", NULL);
		KACHE_AUTO_BUF struct kache_buf value = KACHE_BUF_INIT;
		struct kache_buf next = KACHE_BUF_INIT;
		struct kache_error err;

		if (is_kache(p, i))
			continue;
		kache_toml_quote(&value, p->program);
		if (kache_toml_edit(p->text.data, p->text.len, key, value.data, &next, &err)) {
			kache_buf_release(&next);
			return kache_cli_fail("%s: %s; nothing was changed", p->file, err.text);
		}
		kache_buf_release(&p->text);
		p->text = next;
	}
	return kache_cli_replace(p->file, &p->text, 0644);
}

static int set_up_cargo(const struct options *o, bool *pending)
{
	struct plan p = { .file = cargo_file() };
	int status = KACHE_EXIT_OK;

	if (!p.file)
		return kache_cli_fail("neither CARGO_HOME nor HOME is set");
	p.program = program_name();
	if (!p.program)
		status = kache_cli_fail("kache is not in PATH; cargo could not find it either");
	if (!status)
		status = look(&p);
	if (!status && !p.missing && !p.others) {
		tell(&p, "", "");
	} else if (!status && o->check) {
		tell(&p, "would be", "would become");
		*pending = true;
	} else if (!status && !o->yes && !isatty(STDIN_FILENO)) {
		tell(&p, "would be", "would become");
		status = kache_cli_fail("nobody here to ask; kache init -y does it without");
	} else if (!status) {
		bool go = o->yes;

		if (!go) {
			tell(&p, "will be", "will become");
			go = confirmed(p.others ? "Change this, in the place of what is there?" : "Change this?");
		}
		if (!go)
			status = kache_cli_fail("nothing was changed");
		else
			status = write_plan(&p);
		if (!status)
			tell(&p, "is now", "is now");
	}
	release(&p);
	return status;
}

/* What cargo's file can't do for others. */
static void tell_others(void)
{
	puts("For make, CMake and others without cargo:\n"
	     "  export CC=\"kache cc\" CXX=\"kache c++\"\n"
	     "  export CMAKE_C_COMPILER_LAUNCHER=kache CMAKE_CXX_COMPILER_LAUNCHER=kache");
}

static int set_up_service(const struct options *o, bool *pending)
{
	KACHE_AUTO_FREE char *full = kache_cli_wrapper();
	struct kache_conf *conf;
	int status = kache_cli_conf(&conf);

	if (status)
		return status;
	if (kache_cli_service_is(full, conf)) {
		puts("the daemon's service is set up");
	} else if (o->check) {
		puts("the daemon's service would be set up");
		*pending = true;
	} else if (o->yes || confirmed("Set up the daemon as a service?")) {
		status = kache_cli_service_install(full, conf);
	}
	kache_conf_free(conf);
	return status;
}

static int parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-y") || !strcmp(argv[i], "--yes"))
			o->yes = true;
		else if (!strcmp(argv[i], "--no-service"))
			o->no_service = true;
		else if (!strcmp(argv[i], "--check"))
			o->check = true;
		else
			return kache_cli_usage(&kache_cmd_init, argv[i][0] == '-' ? "no option '%s'" : "'%s' is too much", argv[i]);
	}
	return KACHE_EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct options o = { 0 };
	bool pending = false;
	int status = parse(argc, argv, &o);

	if (!status)
		status = set_up_cargo(&o, &pending);
	if (!status && !o.no_service)
		status = set_up_service(&o, &pending);
	if (!status)
		tell_others();
	if (fflush(stdout))
		return kache_cli_fail("standard output: %s", strerror(errno));
	return status ? status : pending ? KACHE_EXIT_FAILED : KACHE_EXIT_OK;
}
