/* What a C compile leaves behind: the object, the list of dependencies, and where a flag asks for them, files beside the
 * object. In an entry they have names of their own: where they belong, the call says. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/path.h"
#include "wrapper/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OBJECT "object"
#define DEPFILE "depfile"
#define BESIDE "beside."

/* For comparing with what was seen. Where ".." lies behind a link this is another place, and what was written is then taken for a
 * side output. */
static char *object_dir(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *object = kache_path_absolute(c->cwd, c->cc.output);

	return kache_path_dir(object);
}

static bool same(const struct kache_call *c, const char *given, const char *path)
{
	KACHE_AUTO_FREE char *full = given ? kache_path_absolute(c->cwd, given) : NULL;

	return full && !strcmp(full, path);
}

static bool beside(const struct kache_call *c, const char *path)
{
	KACHE_AUTO_FREE char *dir = c->cc.place ? object_dir(c) : NULL;
	const char *rest;

	return dir && kache_path_below(path, dir, &rest) && *rest && !strchr(rest, '/');
}

bool kache_cc_is_output(const struct kache_call *c, const char *path)
{
	return same(c, c->cc.output, path) || same(c, c->cc.depfile, path) || beside(c, path);
}

void kache_cc_outputs(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names)
{
	const struct kache_strs *writes = &run->seen.writes;

	kache_strs_add(names, OBJECT);
	if (c->cc.depfile)
		kache_strs_add(names, DEPFILE);
	for (size_t i = 0; i < writes->n; i++) {
		struct kache_stat st;

		if (beside(c, writes->v[i]) && !same(c, c->cc.output, writes->v[i]) && !same(c, c->cc.depfile, writes->v[i]) &&
		    !kache_stat(writes->v[i], false, &st))
			kache_strs_take(names, kache_asprintf(BESIDE "%s", kache_path_base(writes->v[i])));
	}
}

/* The kernel is to find the way, as for the compiler: ".." behind a link is not a matter of text. */
char *kache_cc_place(const struct kache_call *c, const char *name)
{
	if (!strcmp(name, OBJECT))
		return kache_path_join(c->cwd, c->cc.output);
	if (!strcmp(name, DEPFILE))
		return c->cc.depfile ? kache_path_join(c->cwd, c->cc.depfile) : NULL;
	if (kache_starts(name, BESIDE) && name[sizeof BESIDE - 1]) {
		KACHE_AUTO_FREE char *object = kache_path_join(c->cwd, c->cc.output);
		KACHE_AUTO_FREE char *dir = kache_path_dir(object);

		return kache_path_join(dir, name + sizeof BESIDE - 1);
	}
	return NULL;
}

uint32_t kache_cc_role(const struct kache_call *c, const char *name)
{
	(void)c;
	return !strcmp(name, DEPFILE) ? KACHE_ROLE_DEPINFO : KACHE_ROLE_OTHER;
}
