/* Paths as byte strings; nothing here touches the file system unless it says so. */
#ifndef KACHE_BASE_PATH_H
#define KACHE_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* dir + "/" + name in fresh memory; name as it is where it is absolute. */
char *kache_path_join(const char *dir, const char *name);
/* Lexically: joins cwd if relative, drops "." and doubled slashes, and resolves ".." by text.
 * Fresh memory. Text-only resolution is what rustc's and cargo's own path joins do. */
char *kache_path_absolute(const char *cwd, const char *path);
const char *kache_path_base(const char *path);
/* Everything before the last '/', "." if there is none, "/" for the root. Fresh memory. */
char *kache_path_dir(const char *path);
/* End of the last ".." component of an absolute path, or 0: up to there the file system may lead elsewhere than the text. */
size_t kache_path_climb(const char *path);
/* True if path is dir or below it, on a component boundary; *rest (may be NULL) then points behind
 * the slash, or to "" for dir itself. */
bool kache_path_below(const char *path, const char *dir, const char **rest);
/* Real path through the file system, or NULL; fresh memory. */
char *kache_path_real(const char *path);
/* The next directory of a list like PATH's, fresh memory: "." where the list has an empty one. *at moves behind it, and is NULL
 * after the last. */
char *kache_path_next(const char **at);
/* $PATH, or where that is unset what the C library takes for it. */
const char *kache_path_default(void);
/* First executable regular file of that name along the search path (NULL: $PATH), or NULL. A name
 * with a slash is taken as it is. Fresh memory. */
char *kache_path_search(const char *name, const char *search);

#endif
