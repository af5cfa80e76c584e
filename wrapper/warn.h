/* One warning a build, however many compilers it runs. */
#ifndef KACHE_WRAPPER_WARN_H
#define KACHE_WRAPPER_WARN_H

/* Says "kache: warning: <text>; compiling without the cache" on standard error, once per topic (a
 * file-name word) and build: the build is the parent process. Where no note can be kept it speaks
 * each time. */
void kache_warn_once(const char *topic, const char *text);
/* Likewise, of something that does not keep the compile from being cached here. */
void kache_warn_plain(const char *topic, const char *text);

#endif
