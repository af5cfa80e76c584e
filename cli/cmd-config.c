/* kache config: every setting with its value and origin; reading, checking and changing them. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/user-file.h"

#include "base/json.h"
#include "base/path.h"
#include "conf/edit.h"
#include "conf/toml.h"
#include "remote/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct kache_command kache_cmd_config;

#define REMOTE "cache.remote."

static const char *name_of(size_t id)
{
	const struct kache_option *o = kache_conf_schema((enum kache_conf_id)id);

	return o->key ? o->key : o->env;
}

/* A file key or a variable; KACHE_CONF_COUNT where there is none. */
static size_t option_of(const char *name)
{
	size_t id = kache_conf_find(name);

	for (size_t i = 0; i < KACHE_CONF_COUNT && id == KACHE_CONF_COUNT; i++) {
		const char *env = kache_conf_schema((enum kache_conf_id)i)->env;

		if (env && !strcmp(env, name))
			id = i;
	}
	return id;
}

/* Backend options: cache.remote.<one bare name>. */
static bool is_remote_key(const char *key)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return kache_starts(key, REMOTE) && key[strlen(REMOTE)] &&
	       !key[strlen(REMOTE) + strspn(key + strlen(REMOTE), bare)];
}

/* What a backend's options hide, by their usual names: the backend itself is not loaded for this. */
static bool is_secret(const char *name, size_t len)
{
	static const char *const patterns[] = {
		"*secret*", "*password*", "*passwd*", "*token*", "*access[-_]key*"
	};
	KACHE_AUTO_FREE char *copy = kache_strndup(name, len);

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
		if (kache_glob(patterns[i], copy))
			return true;
	return false;
}

/* Appends a URL, or host:port, with the password of its user part and secret parameters as "***". */
static void show_url(struct kache_buf *b, const char *url)
{
	const char *scheme = strstr(url, "://"), *rest = scheme ? scheme + 3 : url, *end;
	const char *password = kache_url_password(rest, strcspn(rest, "?"), &end);

	if (password) {
		kache_buf_add(b, url, (size_t)(password - url));
		kache_buf_str(b, "***");
		url = end;
	}
	kache_buf_add(b, url, strcspn(url, "?"));
	for (url += strcspn(url, "?"); *url;) {		/* at '?' or '&' */
		size_t n = 1 + strcspn(url + 1, "&"), name = strcspn(url + 1, "=&");

		if (url[1 + name] == '=' && is_secret(url + 1, name))
			kache_buf_fmt(b, "%.*s=***", (int)name + 1, url);
		else
			kache_buf_add(b, url, n);
		url += n;
	}
}

/* Several have blanks between them. */
static char *show_urls(const char *text)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (text += strspn(text, " \t\n"); *text; text += strspn(text, " \t\n")) {
		size_t n = strcspn(text, " \t\n");
		KACHE_AUTO_FREE char *url = kache_strndup(text, n);

		if (b.len)
			kache_buf_ch(&b, ' ');
		show_url(&b, url);
		text += n;
	}
	return kache_buf_steal(&b);
}

static char *show(const struct kache_conf *c, enum kache_conf_id id)
{
	KACHE_AUTO_FREE char *value = kache_conf_show(c, id);
	bool url = id == KACHE_CONF_REMOTE_URL || id == KACHE_CONF_REDIS || id == KACHE_CONF_MEMCACHED;

	return url ? show_urls(value) : kache_strdup(value);
}

static const char *show_pair(const struct kache_conf_pair *p)
{
	return is_secret(p->key, strlen(p->key)) ? "***" : p->value;
}

/* A key that is typed and does not exist is wrong usage; one in a file is a bad file. */
static int unknown(const char *name)
{
	const char *best = kache_conf_nearest(name);

	if (best)
		kache_cli_fail("unknown key %s; did you mean %s?", name, best);
	else
		kache_cli_fail("unknown key %s; `kache config list` shows all", name);
	return KACHE_EXIT_USAGE;
}

/* list */

struct row {
	char *name, *value;
	const char *origin;
};
struct rows {
	struct row *v;
	size_t n;
};

/* Takes name and value over. */
static void add_row(struct rows *r, char *name, char *value, const char *origin)
{
	r->v = kache_realloc(r->v, r->n + 1, sizeof *r->v);
	r->v[r->n++] = (struct row){ name, value, origin };
}

static void print_rows(struct kache_buf *b, const struct rows *rows)
{
	size_t name = 0, value = 0;

	for (size_t i = 0; i < rows->n; i++) {
		size_t v = strlen(rows->v[i].value), n = strlen(rows->v[i].name);

		name = n > name ? n : name;
		value = v > value && v <= 40 ? v : value; /* one long value does not widen the table */
	}
	for (size_t i = 0; i < rows->n; i++)
		kache_buf_fmt(b, "%-*s  %-*s  %s\n", (int)name, rows->v[i].name, (int)value, rows->v[i].value,
			      rows->v[i].origin);
}

/* Remotes that are more than the keys of [cache.remote], by number. */
static void remote_rows(const struct kache_conf *c, struct rows *rows)
{
	const struct kache_conf_remote *remotes;
	size_t n = kache_conf_remotes(c, &remotes);

	if (n == 1 && (kache_conf_str(c, KACHE_CONF_REMOTE_URL) || kache_conf_str(c, KACHE_CONF_REMOTE_TYPE)))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct kache_conf_remote *r = &remotes[i];

		add_row(rows, kache_asprintf("cache.remotes.%zu.url", i + 1), show_urls(r->url), r->origin);
		if (r->name)
			add_row(rows, kache_asprintf("cache.remotes.%zu.name", i + 1), kache_strdup(r->name), r->origin);
		for (size_t k = 0; k < r->n_options; k++)
			add_row(rows, kache_asprintf("cache.remotes.%zu.%s", i + 1, r->options[k].key),
				kache_strdup(show_pair(&r->options[k])), r->options[k].origin);
	}
}

static int list_text(const struct kache_conf *c)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const struct kache_conf_pair *pairs;
	size_t n = kache_conf_remote(c, &pairs);
	struct rows rows = { 0 };

	for (size_t i = 0; i < KACHE_CONF_COUNT; i++) {
		enum kache_conf_id id = (enum kache_conf_id)i;

		add_row(&rows, kache_strdup(name_of(i)), show(c, id), kache_conf_origin(c, id));
	}
	for (size_t i = 0; i < n; i++)
		add_row(&rows, kache_asprintf(REMOTE "%s", pairs[i].key), kache_strdup(show_pair(&pairs[i])), pairs[i].origin);
	remote_rows(c, &rows);
	print_rows(&b, &rows);
	while (rows.n--) {
		free(rows.v[rows.n].name);
		free(rows.v[rows.n].value);
	}
	free(rows.v);
	return kache_cli_print(&b);
}

static void json_value(struct kache_json *j, const struct kache_conf *c, enum kache_conf_id id)
{
	const struct kache_option *o = kache_conf_schema(id);
	const struct kache_strs *list = kache_conf_list(c, id);
	KACHE_AUTO_FREE char *text = kache_conf_str(c, id) ? show(c, id) : NULL;

	switch (o->type) {
	case KACHE_OPT_BOOL:
		kache_json_bool(j, "value", kache_conf_bool(c, id));
		break;
	case KACHE_OPT_SIZE:
	case KACHE_OPT_UINT:
	case KACHE_OPT_MSEC:
		kache_json_u64(j, "value", kache_conf_u64(c, id));
		break;
	case KACHE_OPT_LIST:
		kache_json_open(j, "value", '[');
		for (size_t i = 0; i < list->n; i++)
			kache_json_str(j, NULL, list->v[i]);
		kache_json_close(j, ']');
		break;
	default:
		kache_json_str(j, "value", text);
	}
}

static void json_option(struct kache_json *j, const struct kache_conf *c, enum kache_conf_id id)
{
	static const char *const types[] = { "bool", "string", "path", "size", "uint", "enum", "list", "milliseconds" };
	const struct kache_option *o = kache_conf_schema(id);
	unsigned line;
	const char *file = kache_conf_origin_file(c, id, &line);

	kache_json_open(j, NULL, '{');
	kache_json_str(j, "key", o->key);
	kache_json_str(j, "variable", o->env);
	kache_json_str(j, "type", types[o->type]);
	json_value(j, c, id);
	kache_json_str(j, "default", o->def);
	kache_json_str(j, "accepted", o->values);
	kache_json_bool(j, "project", !(o->flags & KACHE_OPT_NO_PROJECT));
	kache_json_str(j, "origin", kache_conf_origin(c, id));
	kache_json_str(j, "file", file);
	if (file)
		kache_json_u64(j, "line", line);
	kache_json_str(j, "help", o->help);
	kache_json_close(j, '}');
}

static void json_pairs(struct kache_json *j, const char *name, const struct kache_conf_pair *pairs, size_t n)
{
	kache_json_open(j, name, '[');
	for (size_t i = 0; i < n; i++) {
		kache_json_open(j, NULL, '{');
		kache_json_str(j, "key", pairs[i].key);
		kache_json_str(j, "value", show_pair(&pairs[i]));
		kache_json_str(j, "origin", pairs[i].origin);
		kache_json_close(j, '}');
	}
	kache_json_close(j, ']');
}

static void json_remotes(struct kache_json *j, const struct kache_conf *c)
{
	const struct kache_conf_remote *r;
	size_t n = kache_conf_remotes(c, &r);

	kache_json_open(j, "remotes", '[');
	for (size_t i = 0; i < n; i++) {
		KACHE_AUTO_FREE char *url = show_urls(r[i].url);

		kache_json_open(j, NULL, '{');
		kache_json_str(j, "url", url);
		kache_json_str(j, "name", r[i].name);
		kache_json_str(j, "origin", r[i].origin);
		json_pairs(j, "options", r[i].options, r[i].n_options);
		kache_json_close(j, '}');
	}
	kache_json_close(j, ']');
}

static int list_json(const struct kache_conf *c)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_json j = { .out = &b };
	const struct kache_conf_pair *pairs;
	size_t n = kache_conf_remote(c, &pairs);

	kache_json_open(&j, NULL, '{');
	kache_json_open(&j, "options", '[');
	for (size_t i = 0; i < KACHE_CONF_COUNT; i++)
		json_option(&j, c, (enum kache_conf_id)i);
	kache_json_close(&j, ']');
	json_pairs(&j, "remote", pairs, n);
	json_remotes(&j, c);
	kache_json_close(&j, '}');
	kache_buf_ch(&b, '\n');
	return kache_cli_print(&b);
}

static int list(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");
	struct kache_conf *c;
	int status;

	if (argc > 1 && !json)
		return kache_cli_usage(&kache_cmd_config, "list takes --json and nothing else, not '%s'",
				       argv[argc - 1]);
	status = kache_cli_conf(&c);
	if (status)
		return status;
	status = json ? list_json(c) : list_text(c);
	kache_conf_free(c);
	return status;
}

/* get */

static int print_one(const struct kache_conf *c, const char *name)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const struct kache_conf_pair *pairs;
	size_t n = kache_conf_remote(c, &pairs), id = option_of(name);

	if (id < KACHE_CONF_COUNT && kache_conf_schema((enum kache_conf_id)id)->type == KACHE_OPT_LIST) {
		const struct kache_strs *items = kache_conf_list(c, (enum kache_conf_id)id);

		for (size_t i = 0; i < items->n; i++)
			kache_buf_fmt(&b, "%s\n", items->v[i]);
		return kache_cli_print(&b);
	}
	if (id < KACHE_CONF_COUNT) {
		KACHE_AUTO_FREE char *value = show(c, (enum kache_conf_id)id);

		if (*value)
			kache_buf_fmt(&b, "%s\n", value);
		return kache_cli_print(&b);
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_remote_key(name) || strcmp(name + strlen(REMOTE), pairs[i].key))
			continue;
		kache_buf_fmt(&b, "%s\n", show_pair(&pairs[i]));
		return kache_cli_print(&b);
	}
	return is_remote_key(name) ? KACHE_EXIT_OK : unknown(name);
}

static int get(int argc, char **argv)
{
	struct kache_conf *c;
	int status;

	if (argc != 2)
		return kache_cli_usage(&kache_cmd_config, "get takes one key");
	status = kache_cli_conf(&c);
	if (status)
		return status;
	status = print_one(c, argv[1]);
	kache_conf_free(c);
	return status;
}

/* check */

static void to_stderr(void *ctx, const char *problem)
{
	(void)ctx;
	fprintf(stderr, "%s\n", problem);
}

/* The nearest project file upwards, or NULL. */
static char *project_file(const char *cwd)
{
	KACHE_AUTO_FREE char *dir = kache_strdup(cwd);

	for (;;) {
		char *file = kache_path_join(*dir ? dir : "/", KACHE_CONF_PROJECT_FILE);
		char *slash = strrchr(dir, '/');

		if (!access(file, F_OK))
			return file;
		free(file);
		if (!slash || !*dir)
			return NULL;
		*slash = '\0';
	}
}

static size_t check_one(const char *file, const char *role, bool project, bool must)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	int rc = kache_cli_read(file, KACHE_CONF_FILE_MAX, must, &text);
	size_t problems;

	if (rc == KACHE_E_NOENT) {
		printf("%s %s: none\n", role, file);
		return 0;
	}
	if (rc)
		return 1;
	problems = kache_conf_check_text(file, text.data, text.len, project, to_stderr, NULL);
	if (problems)
		printf("%s %s: %zu problem%s\n", role, file, problems, problems == 1 ? "" : "s");
	else
		printf("%s %s: ok\n", role, file);
	return problems;
}

static int check(int argc, char **argv)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);
	bool named;
	KACHE_AUTO_FREE char *user = kache_conf_user_file(&named);
	KACHE_AUTO_FREE char *project = project_file(cwd ? cwd : "/");
	size_t problems;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
		return kache_cli_usage(&kache_cmd_config, "check takes at most one file");
	if (argc == 2) {
		bool is_project = !strcmp(kache_path_base(argv[1]), KACHE_CONF_PROJECT_FILE);

		problems = check_one(argv[1], is_project ? "project file" : "file", is_project, true);
	} else {
		problems = check_one(KACHE_CONF_SYSTEM_FILE, "system file", false, false);
		if (user)
			problems += check_one(user, "user file", false, named);
		if (project)
			problems += check_one(project, "project file", true, true);
		problems += kache_conf_check_environment(to_stderr, NULL);
	}
	if (fflush(stdout))
		return kache_cli_fail("standard output: %s", strerror(errno));
	return problems ? KACHE_EXIT_FAILED : KACHE_EXIT_OK;
}

/* set */

struct assignment {
	const char *key;
	size_t id;			/* KACHE_CONF_COUNT: an option of the backend */
	bool project;
	char **values;
	size_t n;
};

/* What is wrong with the assignment is said; or its value is written to out as TOML. */
static int value_of(const struct assignment *a, struct kache_buf *out)
{
	const struct kache_option *o =
		a->id < KACHE_CONF_COUNT ? kache_conf_schema((enum kache_conf_id)a->id) : NULL;
	struct kache_error err;

	if (o && o->type == KACHE_OPT_LIST) {
		kache_buf_ch(out, '[');
		for (size_t i = 0; i < a->n && (a->n > 1 || *a->values[0]); i++) {
			kache_buf_str(out, i ? ", " : "");
			kache_toml_quote(out, a->values[i]);
		}
		kache_buf_ch(out, ']');
		return KACHE_EXIT_OK;
	}
	if (a->n > 1)
		return kache_cli_usage(&kache_cmd_config, "%s takes one value", a->key);
	if (o && kache_conf_check_value((enum kache_conf_id)a->id, a->values[0], &err))
		return kache_cli_fail("%s", err.text);
	if (o && o->type == KACHE_OPT_BOOL)
		kache_buf_str(out, kache_parse_bool(a->values[0]) ? "true" : "false");
	else if (o && o->type == KACHE_OPT_UINT)
		kache_buf_fmt(out, "%llu", strtoull(a->values[0], NULL, 10));
	else
		kache_toml_quote(out, a->values[0]);
	return KACHE_EXIT_OK;
}

static int target_of(const struct assignment *a, const char *cwd, char **file)
{
	bool named;

	if (!a->project) {
		*file = kache_conf_user_file(&named);
		return *file ? KACHE_EXIT_OK
			     : kache_cli_fail(
				       "no user file: none of KACHE_CONFIG, XDG_CONFIG_HOME, HOME is set");
	}
	if (a->id == KACHE_CONF_COUNT ||
	    kache_conf_schema((enum kache_conf_id)a->id)->flags & KACHE_OPT_NO_PROJECT)
		return kache_cli_fail(
			"a project file may not set %s; it belongs in the user's file or the environment",
			a->key);
	*file = project_file(cwd);
	if (!*file)
		*file = kache_path_join(cwd, KACHE_CONF_PROJECT_FILE);
	return KACHE_EXIT_OK;
}

static void note_override(const struct assignment *a, const char *file)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);
	struct kache_conf *c;
	struct kache_error err;
	const char *from;
	unsigned line;

	if (a->id == KACHE_CONF_COUNT)
		return;
	if (kache_conf_load(cwd ? cwd : "/", &c, &err)) {
		fprintf(stderr, "kache: %s\n", err.text);
		return;
	}
	from = kache_conf_origin_file(c, (enum kache_conf_id)a->id, &line);
	if (!from || strcmp(from, file))
		fprintf(stderr, "kache: note: here, %s overrides it\n",
			kache_conf_origin(c, (enum kache_conf_id)a->id));
	kache_conf_free(c);
}

static int assign(const struct assignment *a)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0), *file = NULL;
	KACHE_AUTO_BUF struct kache_buf value = KACHE_BUF_INIT, old = KACHE_BUF_INIT, text = KACHE_BUF_INIT;
	struct kache_error err;
	int status = target_of(a, cwd ? cwd : "/", &file);
	int rc;

	if (!status)
		status = value_of(a, &value);
	if (status)
		return status;
	rc = kache_cli_read(file, KACHE_CONF_FILE_MAX, false, &old);
	if (rc && rc != KACHE_E_NOENT)
		return KACHE_EXIT_FAILED;
	if (kache_toml_edit(old.data, old.len, a->key, value.data, &text, &err))
		return kache_cli_fail("%s: %s; nothing was changed", file, err.text);
	if (text.len > KACHE_CONF_FILE_MAX)
		return kache_cli_fail("%s: would be larger than %d KiB; nothing was changed", file,
				      KACHE_CONF_FILE_MAX >> 10);
	status = kache_cli_replace(file, &text, a->project ? 0644 : 0600);
	if (!status)
		note_override(a, file);
	return status;
}

static bool target_option(const char *word, bool *project)
{
	bool known = !strcmp(word, "--project") || !strcmp(word, "--user");

	if (known)
		*project = !strcmp(word, "--project");
	return known;
}

static int set(int argc, char **argv)
{
	struct assignment a = { .id = KACHE_CONF_COUNT };
	const struct kache_option *o;
	int at = 1;

	/* Options stand at either end, so that a value may begin with a dash. */
	while (at < argc && target_option(argv[at], &a.project))
		at++;
	while (at < argc && target_option(argv[argc - 1], &a.project))
		argc--;
	if (at < argc && argv[at][0] == '-')
		return kache_cli_usage(&kache_cmd_config, "no option '%s'", argv[at]);
	if (argc - at < 2)
		return kache_cli_usage(&kache_cmd_config, "set takes a key and a value");
	a.key = argv[at];
	a.values = argv + at + 1;
	a.n = (size_t)(argc - at - 1);
	a.id = option_of(a.key);
	if (a.id == KACHE_CONF_COUNT)
		return is_remote_key(a.key) ? assign(&a) : unknown(a.key);
	o = kache_conf_schema((enum kache_conf_id)a.id);
	if (!o->key)
		return kache_cli_fail("%s is set in the environment only", o->env);
	a.key = o->key;
	return assign(&a);
}

static int run(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} verbs[] = { { "list", list }, { "get", get }, { "set", set }, { "check", check } };

	if (argc < 2 || argv[1][0] == '-')
		return list(argc, argv);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	return kache_cli_usage(&kache_cmd_config, "no '%s'; there are list, get, set and check", argv[1]);
}

const struct kache_command kache_cmd_config = {
	.name = "config",
	.summary = "every setting with its value and origin; check and change them",
	.usage = "usage: kache config [list] [--json]     every setting, its value and where it comes from\n"
		 "       kache config get KEY             one value; a list has one element per line\n"
		 "       kache config set KEY VALUE... [--user | --project]\n"
		 "                                        change the user's file, or .kache.toml of the project\n"
		 "       kache config check [FILE]        all problems of the settings' files and variables\n"
		 "\n"
		 "KEY is a file's key (cache.local_max_size) or a variable (KACHE_MAX_SIZE).\n"
		 "kache-config(1) has the details, kache.conf(5) the settings.\n",
	.run = run,
};
