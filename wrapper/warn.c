#include "config.h"
#include "wrapper/warn.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The parent's start time (proc(5), /proc/pid/stat field 22) tells a reused process number. */
static unsigned long long started(pid_t pid)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("/proc/%ld/stat", (long)pid);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const char *p;

	if (kache_file_read(path, 4096, &b) || !b.data)
		return 0;
	p = strrchr(b.data, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

/* A directory of ours alone; in the shared /tmp somebody may have put one there before us. */
static char *note_dir(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char *dir = run && *run ? kache_asprintf("%s/kache", run) : kache_asprintf("/tmp/kache-%ld", (long)getuid());
	struct stat st;

	mkdir(dir, 0700);
	if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid() || st.st_mode & 022) {
		free(dir);
		return NULL;
	}
	return dir;
}

/* True for the first of this topic in this build. */
static bool first(const char *topic)
{
	KACHE_AUTO_FREE char *dir = note_dir();
	pid_t parent = getppid();

	if (dir) {
		KACHE_AUTO_FREE char *note = kache_asprintf("%s/%s-%ld-%llu", dir, topic, (long)parent, started(parent));
		KACHE_AUTO_FD int fd = kache_open(note, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

		if (fd < 0 && errno == EEXIST)
			return false;
	}
	return true;
}

void kache_warn_once(const char *topic, const char *text)
{
	if (first(topic))
		kache_warn("%s; compiling without the cache", text);
}

void kache_warn_plain(const char *topic, const char *text)
{
	if (first(topic))
		kache_warn("%s", text);
}
