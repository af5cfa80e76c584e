/* Inside of the settings: what the loader and the part about remotes share. */
#ifndef KACHE_CONF_PARTS_H
#define KACHE_CONF_PARTS_H

#include "conf/conf.h"
#include "conf/toml.h"

/* This is filled on every compile: what only people ask for, the origin as text, is made when asked. */
struct kache_setting {
	const char *text;		/* as written; NULL: unset. The schema's default, or owned */
	char *owned;
	bool flag, from_env;
	uint64_t number;
	struct kache_strs list;
	const char *file;		/* in kache_conf.files; NULL: not from a file */
	unsigned line;
	char *origin;
};

struct kache_remotes {
	struct kache_conf_remote *v;
	size_t n;
};

struct kache_conf {
	struct kache_strs files;
	struct kache_setting v[KACHE_CONF_COUNT];
	struct kache_conf_pair *remote;	/* other keys of [cache.remote] */
	size_t n_remote;
	struct kache_remotes tiers;	/* [[cache.remotes]], as written */
	const char *tiers_file;		/* in files */
	unsigned tiers_line;
	struct kache_remotes remotes;	/* those in force */
};

/* A file being applied. With report, its problems go there one by one and the rest is still read;
 * without, the first one ends the work and stays in err. */
struct kache_conf_source {
	struct kache_conf *c;
	const char *file;
	bool project;
	struct kache_error *err;
	kache_conf_report *report;
	void *ctx;
	size_t problems;
};

void kache_conf_forget(struct kache_setting *s);
/* Back to what the schema says. */
void kache_conf_default(struct kache_conf *c, enum kache_conf_id id);
/* The text of a string, integer or boolean, fresh; NULL for others. */
char *kache_conf_scalar(const struct kache_toml *v);
/* A quoted key may hold dots or NULs, and is then not the key of the schema that it looks like. */
bool kache_conf_plain_key(const struct kache_toml *v);

/* Before the keys of a file's table `cache` are applied: does what it says of remotes go together, and
 * does it name other ones than the files before? */
int kache_conf_remotes_begin(struct kache_conf_source *src, const struct kache_toml *cache);
/* A key of [cache.remote] that is no setting, and the value of cache.remotes. */
int kache_conf_remote_pair(struct kache_conf_source *src, const struct kache_toml *v);
int kache_conf_remotes_read(struct kache_conf_source *src, const struct kache_toml *v);
/* After files and environment: which remotes there are. */
void kache_conf_remotes_settle(struct kache_conf *c);
void kache_conf_remotes_release(struct kache_conf *c);

#endif
