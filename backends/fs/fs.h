/* The fs backend: objects are files below one directory, which many machines may share. */
#ifndef KACHE_BACKENDS_FS_H
#define KACHE_BACKENDS_FS_H

#include "kache/backend.h"

#include <stdatomic.h>
#include <sys/types.h>

struct kb_handle {
	int dir;		/* the directory; every name below is relative to it */
	mode_t file_mode, dir_mode;
	int exact_mode;		/* chmod after creating, whatever the umask says */
};

extern const struct kb_host *fs_host;

/* The status for errno, with a text that names what was tried. Keeps no state. */
int fs_fail(struct kb_call *call, int error, const char *what, struct kb_key key);
/* KB_OK, KB_E_TIMEOUT or KB_E_CANCELLED; asked between chunks. */
int fs_late(struct kb_call *call);
/* The key as a relative path in buf, or KB_E_BUG for one that is not in the key alphabet. */
int fs_path(struct kb_call *call, struct kb_key key, char buf[KB_KEY_MAX + 1]);
/* A name no key can have ('~' is not in the alphabet), in the folder of path ("" for the top). */
char *fs_temp(const char *path);
int fs_is_temp(const char *name);

int fs_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int fs_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int fs_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
int fs_del(struct kb_handle *, struct kb_key, struct kb_call *);
int fs_touch(struct kb_handle *, struct kb_key, int64_t ttl_s, struct kb_call *);
int fs_list(struct kb_handle *, struct kb_key prefix, struct kb_call *,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);

#endif
