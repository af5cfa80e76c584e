/* Settings: every option with its value and where it came from.
 *
 * Precedence: environment over project file (.kache.toml, the nearest upwards from cwd) over user file
 * (KACHE_CONFIG, else $XDG_CONFIG_HOME/kache/config.toml) over system file (KACHE_SYSCONFDIR/config.toml)
 * over default. All files that exist are merged; a list replaces a list. A project file may not set
 * options marked KACHE_OPT_NO_PROJECT (what runs code or moves trust). */
#ifndef KACHE_CONF_CONF_H
#define KACHE_CONF_CONF_H

#include "base/err.h"
#include "base/strs.h"

#include <stdbool.h>
#include <stdint.h>

enum kache_opt_type {
	KACHE_OPT_BOOL, KACHE_OPT_STR, KACHE_OPT_PATH, KACHE_OPT_SIZE, KACHE_OPT_UINT, KACHE_OPT_ENUM, KACHE_OPT_LIST,
	KACHE_OPT_MSEC
};
#define KACHE_OPT_NO_PROJECT (1u << 0)
#define KACHE_OPT_SECRET     (1u << 1)

/* Identifiers: KACHE_CONF_<first column>, from the one table in conf/options.def. */
enum kache_conf_id {
#define KACHE_OPTION(id, key, env, type, def, values, flags, help) KACHE_CONF_##id,
#include "conf/options.def"
#undef KACHE_OPTION
	KACHE_CONF_COUNT
};

struct kache_option {			/* one row of the schema */
	const char *key;		/* "cache.local_store"; NULL: environment only */
	const char *env;		/* NULL: file only */
	enum kache_opt_type type;
	const char *def;		/* text form; NULL: unset */
	const char *values;		/* "a|b|c" for KACHE_OPT_ENUM; "1..19" for _UINT and, in milliseconds, _MSEC;
					 * "paths" for a _LIST of absolute paths, which a file may name from where it lies */
	unsigned flags;
	const char *help;		/* one sentence; "" in the wrapper */
};
const struct kache_option *kache_conf_schema(enum kache_conf_id id);

struct kache_conf;

/* Loads everything. On KACHE_E_INVALID err says "file:line: …" or names the variable, what was
 * found, what is accepted, and for an unknown key the nearest known one; *out is then NULL.
 * Files that do not exist are fine; a named KACHE_CONFIG that does not exist is an error. */
int kache_conf_load(const char *cwd, struct kache_conf **out, struct kache_error *err);
void kache_conf_free(struct kache_conf *c);

/* Typed access. Strings are owned by c; "" never stands for unset (NULL does). PATH values are
 * absolute, "~/" expanded. SIZE is in bytes ("50GB" decimal, "50GiB" binary), MSEC in milliseconds. ENUM gives its text. */
bool kache_conf_bool(const struct kache_conf *c, enum kache_conf_id id);
uint64_t kache_conf_u64(const struct kache_conf *c, enum kache_conf_id id);
const char *kache_conf_str(const struct kache_conf *c, enum kache_conf_id id);
const struct kache_strs *kache_conf_list(const struct kache_conf *c, enum kache_conf_id id);
/* The value as a person writes it, fresh memory; secrets come as "***". */
char *kache_conf_show(const struct kache_conf *c, enum kache_conf_id id);
/* "default", "environment KACHE_MAX_SIZE", "/home/u/.config/kache/config.toml:3". Owned by c, and made
 * at the first call: not from two threads at once. */
const char *kache_conf_origin(const struct kache_conf *c, enum kache_conf_id id);
/* Line number of the origin, file path or NULL, for JSON. */
const char *kache_conf_origin_file(const struct kache_conf *c, enum kache_conf_id id, unsigned *line);

/* An option of a remote, as text. Checked later, against the backend's own schema. */
struct kache_conf_pair {
	char *key, *value, *origin;
};
/* What the files say in [cache.remote] beyond the settings of the schema, whether or not it counts. */
size_t kache_conf_remote(const struct kache_conf *c, const struct kache_conf_pair **out);
/* A remote: of [cache.remote], of [[cache.remotes]], or named by a variable. Secrets are as they are. */
struct kache_conf_remote {
	char *url;			/* where the configuration has a type only, that and a ':' */
	char *name;			/* what people call it, or NULL */
	char *origin;			/* of url or type */
	struct kache_conf_pair *options;
	size_t n_options;
};
/* Those in force, nearest first; none if cache.local_only is set. */
size_t kache_conf_remotes(const struct kache_conf *c, const struct kache_conf_remote **out);
/* Whether there is any remote to ask. */
bool kache_conf_has_remote(const struct kache_conf *c);
/* Tells remotes apart: the same for two configurations that name the same ones, whatever the rest of them says. */
struct kache_hash;
void kache_conf_remote_id(const struct kache_conf *c, struct kache_hash *out);

#define KACHE_CONF_SYSTEM_FILE KACHE_SYSCONFDIR "/config.toml"
#define KACHE_CONF_PROJECT_FILE ".kache.toml"
enum { KACHE_CONF_FILE_MAX = 128 << 10 };	/* bytes of a file that are read; more is an error */
/* The user's file, whether or not it exists; fresh memory, or NULL where neither KACHE_CONFIG,
 * XDG_CONFIG_HOME nor HOME says. *named: KACHE_CONFIG says. */
char *kache_conf_user_file(bool *named);

/* For `kache config`. The option of a file key, or KACHE_CONF_COUNT; and the nearest key, or NULL. */
size_t kache_conf_find(const char *key);
const char *kache_conf_nearest(const char *key);
/* Whether text can be the value of a scalar option, written as in a variable. 0 or KACHE_E_INVALID. */
int kache_conf_check_value(enum kache_conf_id id, const char *text, struct kache_error *err);
/* All problems of one file's text, each a line that begins with "file:line: ". Returns their number.
 * The syntax is read up to its first error, which is then the only problem. */
typedef void kache_conf_report(void *ctx, const char *problem);
size_t kache_conf_check_text(const char *file, const char *text, size_t len, bool project,
			     kache_conf_report *report, void *ctx);
size_t kache_conf_check_environment(kache_conf_report *report, void *ctx);

/* "50GiB", "10GB", "512MiB", plain bytes; "30m", "24h", "7d", "45s" (seconds). 0 or KACHE_E_INVALID. */
int kache_parse_size(const char *text, uint64_t *bytes);
int kache_parse_duration(const char *text, uint64_t *seconds);
/* "500ms", "3s", "2m"; without a unit it is nothing. */
int kache_parse_msec(const char *text, uint64_t *ms);
/* "1.4 GiB"; fresh memory. */
char *kache_show_size(uint64_t bytes);

#endif
