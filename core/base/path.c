#include "config.h"
#include "base/path.h"

#include "base/buf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *kache_path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	if (name[0] == '/' || !n)
		return kache_strdup(name);
	return kache_concat(dir, dir[n - 1] == '/' ? "" : "/", name, NULL);
}

char *kache_path_absolute(const char *cwd, const char *path)
{
	KACHE_AUTO_FREE char *joined = kache_path_join(cwd, path);
	struct kache_buf out = KACHE_BUF_INIT;

	for (const char *p = joined; *p;) {
		size_t len;

		while (*p == '/')
			p++;
		len = strcspn(p, "/");
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			while (out.len && out.data[--out.len] != '/')
				;
			kache_buf_add(&out, "", 0);
		} else if (len && !(len == 1 && p[0] == '.')) {
			kache_buf_ch(&out, '/');
			kache_buf_add(&out, p, len);
		}
		p += len;
	}
	if (!out.len)
		kache_buf_ch(&out, '/');
	return kache_buf_steal(&out);
}

const char *kache_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

size_t kache_path_climb(const char *path)
{
	size_t end = 0;

	for (const char *p = strstr(path, "/.."); p; p = strstr(p + 1, "/.."))
		if (p[3] == '/' || !p[3])
			end = (size_t)(p + 3 - path);
	return end;
}

char *kache_path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return kache_strdup(".");
	while (slash > path && slash[-1] == '/')
		slash--;
	return slash == path ? kache_strdup("/") : kache_strndup(path, (size_t)(slash - path));
}

bool kache_path_below(const char *path, const char *dir, const char **rest)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (!n || strncmp(path, dir, n))
		return false;
	if (n == 1 && dir[0] == '/')
		n = 0;
	if (path[n] != '/' && path[n] != '\0')
		return false;
	if (rest)
		*rest = path[n] ? path + n + 1 : path + n;
	return true;
}

char *kache_path_real(const char *path)
{
	char *found = realpath(path, NULL), *copy;

	if (!found)
		return NULL;
	copy = kache_strdup(found);
	free(found);
	return copy;
}

static bool executable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *kache_path_next(const char **at)
{
	size_t len = strcspn(*at, ":");
	char *dir = kache_strndup(len ? *at : ".", len ? len : 1);

	*at = (*at)[len] ? *at + len + 1 : NULL;
	return dir;
}

const char *kache_path_default(void)
{
	const char *path = getenv("PATH");

	return path ? path : "/usr/local/bin:/bin:/usr/bin";
}

char *kache_path_search(const char *name, const char *search)
{
	if (strchr(name, '/'))
		return executable(name) ? kache_strdup(name) : NULL;
	for (const char *p = search ? search : kache_path_default(); p;) {
		KACHE_AUTO_FREE char *dir = kache_path_next(&p);
		char *full = kache_path_join(dir, name);

		if (executable(full))
			return full;
		free(full);
	}
	return NULL;
}
