/* kache-observe.so, the recorder: start, log, what was seen already, names of things. The interposers
 * are in preload-file.c (the file system) and preload-exec.c (processes and everything else).
 * Every look at the system goes through raw system calls: none of it may reach an interposer, allocate,
 * lock, or change errno. */
#include "config.h"
#include "observe/preload.h"

#include "observe/observe.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8 && sizeof(off_t) == 8, "preload.h counts on LP64");

/* Hashes of records, in tables one after another: a crowded neighbourhood in one leads on to the next,
 * larger one. Most processes touch two pages of this. Beyond the last, records repeat, which only
 * costs bytes. A collision of hashes would lose a record: one in 10^11 for ten thousand of them. */
enum { TABLES = 3, PROBES = 8, FD_MIN = 200 };
enum { SLOTS_1 = 512, SLOTS_2 = 4096, SLOTS_3 = 32768 };

enum state { UNKNOWN, STARTING, RECORDING, SILENT };
static _Atomic int state;
static _Atomic int log_fd = -1;
static dev_t log_dev;
static ino_t log_ino;
static _Atomic uint64_t seen[SLOTS_1 + SLOTS_2 + SLOTS_3];
static _Atomic(void *) reals[F_COUNT];

/* The variables as children get them. */
char kache_log_var[sizeof KACHE_LOG_VAR + PATH_ROOM] = KACHE_LOG_VAR;
char kache_preload_var[sizeof KACHE_PRELOAD_VAR + PATH_ROOM] = KACHE_PRELOAD_VAR;
#define log_path (kache_log_var + sizeof KACHE_LOG_VAR - 1)
#define preload_path (kache_preload_var + sizeof KACHE_PRELOAD_VAR - 1)

#pragma weak _r_debug
extern ElfW(Dyn) own_dynamic[] __asm__("_DYNAMIC") __attribute__((visibility("hidden")));

const char *kache_preload_path(void)
{
	return preload_path;
}

static long absent_function(void)
{
	errno = ENOSYS;
	return -1;
}

void *kache_real(enum real which)
{
	/* One string instead of a table of pointers: no relocations when the library is loaded. */
	static const char names[] =
#define REAL_NAME(ret, name, args) #name "\0"
		REALS(REAL_NAME);
#undef REAL_NAME
	void *real = atomic_load_explicit(&reals[which], memory_order_relaxed);
	const char *name = names;
	int saved = errno;

	if (real)
		return real;
	for (int i = 0; i < (int)which; i++)
		name += strlen(name) + 1;
	real = dlsym(RTLD_NEXT, name);
	if (!real) {
		dlerror();	/* its text is not for the program */
		real = (void *)absent_function;
	}
	atomic_store_explicit(&reals[which], real, memory_order_relaxed);
	errno = saved;
	return real;
}

/* A record is missing, so the log is worth nothing: readers must not find it. */
static void lose_log(void)
{
	atomic_store(&state, SILENT);
	RAW3(SYS_unlinkat, AT_FDCWD, log_path, 0);
}

/* Opens the log on a high number, out of the way of programs that count on low ones; -1 on failure. */
static int open_log(void)
{
	long low = RAW3(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY), high;

	if (low < 0)
		return -1;
	high = RAW3(SYS_fcntl, low, F_DUPFD_CLOEXEC, FD_MIN);
	if (high < 0)
		return (int)low;	/* the limit on numbers is lower */
	RAW1(SYS_close, low);
	return (int)high;
}

static bool is_log(int fd)
{
	struct stat st;

	return fd >= 0 && !RAW2(SYS_fstat, fd, &st) && st.st_dev == log_dev && st.st_ino == log_ino;
}

static void put(const char *data, size_t len)
{
	int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);

	/* A program may close what it does not know, and open something else there. */
	if (!is_log(fd)) {
		fd = open_log();
		if (!is_log(fd)) {
			lose_log();
			return;
		}
		atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
	}
	if (RAW3(SYS_write, fd, data, len) != (long)len)
		lose_log();
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const char *data, size_t len)
{
	uint64_t h = 0x9e3779b97f4a7c15u ^ len, word;

	for (; len >= 8; data += 8, len -= 8) {
		memcpy(&word, data, 8);
		h = mix(h ^ word, 0xa0761d6478bd642fu) + 0xe7037ed1a0b428dbu;
	}
	word = 0;
	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)(unsigned char)data[i] << 8 * i;
	h = mix(h ^ word, 0x8ebc6af09c88c6e3u);
	return h ? h : 1;
}

/* True if the record was not there; enter puts it there. */
static bool is_new(const char *record, size_t len, bool enter)
{
	static const unsigned short slots[TABLES] = { SLOTS_1, SLOTS_2, SLOTS_3 };
	uint64_t h = hash(record, len);
	_Atomic uint64_t *table = seen;

	for (int t = 0; t < TABLES; table += slots[t++]) {
		for (size_t i = 0; i < PROBES; i++) {
			_Atomic uint64_t *slot = &table[(h + i) % slots[t]];
			uint64_t there = atomic_load_explicit(slot, memory_order_relaxed);

			if (!there && (!enter || atomic_compare_exchange_strong(slot, &there, h)))
				return true;
			if (there == h)
				return false;
		}
	}
	return true;
}

/* Where relative paths of dirfd start: into out[PATH_ROOM], its length or 0. */
static size_t base_of(char *out, int dirfd)
{
	char link[32] = "/proc/self/fd/", digits[12];
	size_t n = 14, d = 0;
	long len;

	if (dirfd == AT_FDCWD) {
		len = RAW2(SYS_getcwd, out, PATH_ROOM);
		return len > 1 && out[0] == '/' ? (size_t)len - 1 : 0;
	}
	if (dirfd < 0)
		return 0;
	do
		digits[d++] = (char)('0' + dirfd % 10);
	while (dirfd /= 10);
	while (d)
		link[n++] = digits[--d];
	link[n] = '\0';
	len = RAW4(SYS_readlinkat, AT_FDCWD, link, out, PATH_ROOM);
	return len > 0 && len < PATH_ROOM && out[0] == '/' ? (size_t)len : 0;
}

size_t kache_absolute(char *out, int dirfd, const char *path)
{
	size_t len = strlen(path), base = 0;

	if (len >= PATH_ROOM)
		return 0;
	if (path[0] != '/') {
		base = base_of(out, dirfd);
		if (!base)
			return 0;
		if (len)
			out[base++] = '/';
	}
	memcpy(out + base, path, len);
	out[base + len] = '\0';
	return base + len;
}

/* Type and path into record[RECORD_ROOM]; the length without the NUL, or 0 (and a '!' record). */
static size_t compose(char *record, char type, int dirfd, const char *path)
{
	size_t len = kache_absolute(record + 1, dirfd, path);

	record[0] = type;
	if (!len) {
		kache_note_name('!', "a path relative to a place that has no name");
		return 0;
	}
	return len + 1;
}

void kache_event(char type, int dirfd, const char *path)
{
	char record[RECORD_ROOM];
	size_t len;

	if (kache_observing() && path && *path && (len = compose(record, type, dirfd, path)))
		put(record, len + 1);
}

void kache_note(char type, int dirfd, const char *path)
{
	char record[RECORD_ROOM];
	size_t len;

	if (kache_observing() && path && *path && (len = compose(record, type, dirfd, path)) &&
	    is_new(record, len, true))
		put(record, len + 1);
}

static void name(char type, const char *text, bool always)
{
	char record[PATH_ROOM];
	size_t len;

	if (!kache_observing() || !text)
		return;
	len = strlen(text);
	if (len > sizeof record - 2) {	/* no variable that anybody sets has such a name */
		len = sizeof record - 2;
		kache_note_name('!', "a name that is too long");
	}
	record[0] = type;
	memcpy(record + 1, text, len);
	record[len + 1] = '\0';
	if (always || is_new(record, len + 1, true))
		put(record, len + 2);
}

void kache_note_name(char type, const char *text)
{
	name(type, text, false);
}

void kache_event_name(char type, const char *text)
{
	name(type, text, true);
}

/* What can't be reached is not there, and may be once somebody lets us pass: "A" for both. What is there and was denied is `file` or
 * `dir`. */
static void look(int dirfd, const char *path, bool good, int err, char file, char dir)
{
	struct stat st;
	char type = 'P';

	if (!kache_observing() || !path)
		return;
	switch (good ? 0 : err) {
	case 0:
		break;
	case ENOENT: case ENOTDIR:
		type = 'A';
		break;
	case EACCES: case EPERM: case ELOOP:
		if (RAW4(SYS_newfstatat, dirfd, path, &st, 0))
			type = 'A';
		else if (err == EACCES)
			type = S_ISDIR(st.st_mode) ? dir : file;
		break;
	case EIO: case ENOMEM: case EMFILE: case ENFILE: case ESTALE:
		kache_note_name('!', "a file could not be looked at for want of something else");
		return;
	default:
		return;
	}
	kache_note(type, dirfd, path);
}

void kache_note_look(int dirfd, const char *path, bool good, int err)
{
	look(dirfd, path, good, err, 'P', 'P');
}

void kache_note_try(int dirfd, const char *path, bool good, int err)
{
	look(dirfd, path, good, err, 'U', 'U');
}

/* Where a directory may not be written to, programs take another one. */
void kache_note_access(int dirfd, const char *path, int mode, bool good, int err)
{
	look(dirfd, path, good, err, mode & R_OK ? 'U' : 'P', 'P');
}

/* Opened for reading: which kind it is costs a system call, so only once per path. */
static void note_read(int dirfd, const char *path, int fd)
{
	char record[RECORD_ROOM];
	struct stat st;
	size_t len;

	if (!path || !*path || !(len = compose(record, 'R', dirfd, path)) ||
	    !is_new(record, len, false) || RAW2(SYS_fstat, fd, &st))
		return;
	if (S_ISDIR(st.st_mode))
		record[0] = 'L';
	else if (!S_ISREG(st.st_mode))
		record[0] = 'O';
	if (is_new(record, len, true))
		put(record, len + 1);
}

void kache_note_open(int dirfd, const char *path, int flags, int fd, int err)
{
	bool reads = (flags & O_ACCMODE) != O_WRONLY;
	struct stat st;

	if (!kache_observing() || !path || (flags & O_TMPFILE) == O_TMPFILE)
		return;
	if (fd < 0 && err == ELOOP && flags & O_NOFOLLOW) {
		kache_note('S', dirfd, path);
		return;
	}
	if (fd < 0 || flags & O_PATH) {
		(reads ? kache_note_try : kache_note_look)(dirfd, path, fd >= 0, err);
		return;
	}
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC))) {
		note_read(dirfd, path, fd);
		return;
	}
	if (RAW2(SYS_fstat, fd, &st) || !S_ISREG(st.st_mode))
		return;
	/* What can be read of an older file counts; a fresh one is empty. */
	if (reads && !(flags & (O_TRUNC | O_EXCL)) && (st.st_size || !(flags & O_CREAT)))
		kache_note('R', dirfd, path);
	kache_note('W', dirfd, path);
}

void kache_note_libraries(void)
{
	if (!kache_observing() || !&_r_debug)
		return;
	for (struct link_map *m = _r_debug.r_map; m; m = m->l_next)
		if (m->l_name && strchr(m->l_name, '/') && m->l_ld != own_dynamic)
			kache_note('R', AT_FDCWD, m->l_name);
}

/* Takes our path out of the value of LD_PRELOAD, in place; true if nothing is left of it. */
static bool strip_preload(char *value)
{
	size_t own = strlen(preload_path);
	char *to = value, *from = value;

	while (*from) {
		size_t len = strcspn(from, ": ");
		bool ours = len == own && !memcmp(from, preload_path, own);

		len += from[len] != '\0';
		if (!ours) {
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	while (to > value && (to[-1] == ':' || to[-1] == ' '))
		to--;
	*to = '\0';
	return to == value;
}

/* Programs see the environment as it would be without us: one that copies all of it into its output
 * writes the same bytes. Children get it back from kache_child_env. */
static void hide_variables(void)
{
	char **to = environ;

	for (char **from = environ; *from; from++) {
		if (has_prefix(*from, KACHE_LOG_VAR))
			continue;
		if (has_prefix(*from, KACHE_PRELOAD_VAR) &&
		    strip_preload(*from + sizeof KACHE_PRELOAD_VAR - 1))
			continue;
		*to++ = *from;
	}
	*to = NULL;
}

size_t kache_program(char *out)
{
	const long len = RAW4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", out, PATH_ROOM - 1);

	if (len <= 0)
		return 0;
	out[len] = '\0';
	return (size_t)len;
}

static bool find_self(void)
{
	struct link_map *m = &_r_debug ? _r_debug.r_map : NULL;

	while (m && m->l_ld != own_dynamic)
		m = m->l_next;
	if (!m || !m->l_name || strlen(m->l_name) >= PATH_ROOM)
		return false;
	memcpy(preload_path, m->l_name, strlen(m->l_name) + 1);
	return true;
}

static bool find_log(void)
{
	for (char **e = environ; e && *e; e++) {
		const char *value = *e + sizeof KACHE_LOG_VAR - 1;

		if (!has_prefix(*e, KACHE_LOG_VAR))
			continue;
		if (value[0] != '/' || strlen(value) >= PATH_ROOM)
			return false;
		memcpy(log_path, value, strlen(value) + 1);
		return true;
	}
	return false;
}

/* The first records in one write: the program, and what was loaded with it. */
static void begin(void)
{
	char batch[RECORD_ROOM + PATH_ROOM];
	size_t used = kache_program(batch + 1) + 2;

	if (used == 2) {
		kache_note_name('!', "a program without a name (is /proc there?)");
		return;
	}
	batch[0] = 'B';
	for (struct link_map *m = _r_debug.r_map; m; m = m->l_next) {
		size_t room = m->l_name ? strlen(m->l_name) + 2 : 0;

		if (room <= 2 || m->l_name[0] != '/' || m->l_ld == own_dynamic || used + room > sizeof batch)
			continue;	/* kache_note_libraries sees to it */
		batch[used] = 'R';
		memcpy(batch + used + 1, m->l_name, room - 1);
		if (is_new(batch + used, room - 1, true))
			used += room;
	}
	put(batch, used);
}

bool kache_observing(void)
{
	int now = atomic_load_explicit(&state, memory_order_acquire);
	struct stat st;
	int fd;

	if (now >= RECORDING)
		return now == RECORDING;
	now = UNKNOWN;
	if (!atomic_compare_exchange_strong(&state, &now, STARTING)) {
		while (atomic_load(&state) == STARTING)		/* system calls only: it is short */
			RAW1(SYS_sched_yield, 0);
		return atomic_load(&state) == RECORDING;
	}
	if (!find_log() || !find_self()) {
		atomic_store(&state, SILENT);
		return false;
	}
	hide_variables();
	fd = open_log();
	if (fd < 0 || RAW2(SYS_fstat, fd, &st)) {
		lose_log();
		return false;
	}
	log_dev = st.st_dev;
	log_ino = st.st_ino;
	atomic_store(&log_fd, fd);
	atomic_store(&state, RECORDING);
	begin();
	return atomic_load(&state) == RECORDING;
}

__attribute__((constructor)) static void start(void)
{
	if (!kache_observing())
		return;
	/* Now rather than at need: dlsym takes a lock that a forked child may find taken for ever. Not
	 * at the first call of an interposer: that may come from the start of an allocator, and a dlsym
	 * that fails (an older C library) allocates. */
	for (int i = 0; i < F_COUNT; i++)
		kache_real((enum real)i);
}

/* What was loaded while it ran: plugins, procedural macros. dlopen itself can't be interposed, for
 * it searches by the run path of the object that called it. */
__attribute__((destructor)) static void end(void)
{
	kache_note_libraries();
}
