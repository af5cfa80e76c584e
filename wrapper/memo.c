#include "config.h"
#include "wrapper/memo.h"

#include "base/file.h"
#include "base/path.h"
#include "store/codec.h"
#include "store/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMO_FORMAT = 4 };

void kache_memo_release(struct kache_memo *m)
{
	kache_strs_release(&m->watched);
	free(m->compiler.family);
	free(m->compiler.program);
	free(m->compiler.sysroot);
	free(m->compiler.host);
	free(m->compiler.version);
	*m = (struct kache_memo){ 0 };
}

bool kache_memo_is_script(const char *program)
{
	KACHE_AUTO_FD int fd = kache_open(program, O_RDONLY, 0);
	char start[2];

	return fd >= 0 && read(fd, start, sizeof start) == sizeof start && !memcmp(start, "#!", 2);
}

void kache_memo_stat(struct kache_buf *b, const char *path)
{
	struct kache_stat st;

	if (kache_stat(path, true, &st))
		st = (struct kache_stat){ 0 };
	kache_buf_u64(b, st.dev);
	kache_buf_u64(b, st.ino);
	kache_buf_u64(b, st.size);
	kache_buf_u64(b, (uint64_t)st.mtime);
	kache_buf_u64(b, (uint64_t)st.ctime);
}

void kache_memo_write(struct kache_store *s, const char *path, const struct kache_memo *m)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	size_t start = kache_codec_begin(&b, "KCMP", MEMO_FORMAT);

	if (s->readonly)
		return;
	kache_buf_u32(&b, (uint32_t)m->watched.n);
	for (size_t i = 0; i < m->watched.n; i++) {
		kache_buf_text(&b, m->watched.v[i]);
		kache_memo_stat(&b, m->watched.v[i]);
	}
	kache_buf_u8(&b, m->proxy);
	kache_buf_u8(&b, m->compiler.script);
	kache_buf_u8(&b, m->compiler.maps);
	kache_buf_text(&b, m->compiler.family);
	kache_buf_text(&b, m->compiler.program);
	kache_buf_text(&b, m->compiler.sysroot);
	kache_buf_text(&b, m->compiler.host);
	kache_buf_text(&b, m->compiler.version);
	kache_buf_add(&b, m->compiler.id.b, KACHE_HASH_LEN);
	kache_codec_end(&b, start);
	(void)kache_file_replace(path, b.data, b.len, 0644);
}

bool kache_memo_read(const char *path, struct kache_memo *m)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_reader r;
	uint32_t n;

	if (kache_file_read(path, 1 << 20, &b) || kache_codec_open(&r, b.data, b.len, "KCMP", MEMO_FORMAT))
		return false;
	n = kache_read_u32(&r);
	for (uint32_t i = 0; i < n && !r.bad; i++) {
		KACHE_AUTO_BUF struct kache_buf now = KACHE_BUF_INIT;
		const void *then;

		kache_strs_take(&m->watched, kache_read_string(&r));
		kache_memo_stat(&now, m->watched.v[i]);
		then = kache_read_raw(&r, now.len);
		if (!then || memcmp(then, now.data, now.len)) {
			kache_memo_release(m);
			return false;
		}
	}
	m->proxy = kache_read_u8(&r);
	m->compiler.script = kache_read_u8(&r);
	m->compiler.maps = kache_read_u8(&r);
	m->compiler.family = kache_read_string(&r);
	m->compiler.program = kache_read_string(&r);
	m->compiler.sysroot = kache_read_string(&r);
	m->compiler.host = kache_read_string(&r);
	m->compiler.version = kache_read_string(&r);
	kache_codec_hash(&r, &m->compiler.id);
	if (!r.bad)
		return true;
	kache_memo_release(m);
	return false;
}

const char *const kache_memo_silenced[] = {
	"DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "CC_PRINT_OPTIONS", "CC_PRINT_HEADERS", "CC_LOG_DIAGNOSTICS",
	"CC_PRINT_PROC_STAT", "CC_PRINT_INTERNAL_STAT", NULL
};

static int output_of(const char *const *argv, bool list_libraries, struct kache_buf *out)
{
	int p[2], status = -1;
	pid_t pid;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC))
		return KACHE_E_IO;
	pid = fork();
	if (pid < 0)
		return KACHE_E_IO;
	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDIN_FILENO);
		dup2(p[1], STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		/* A question must leave nothing where the user's compiles write, and its answer be the same for everyone. */
		for (const char *const *name = kache_memo_silenced; *name; name++)
			unsetenv(*name);
		setenv("LC_ALL", "C", 1);
		if (list_libraries)
			setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);	/* execv changes nothing of it */
		_exit(127);
	}
	close(p[1]);
	while ((n = read(p[0], kache_buf_reserve(out, 4096), 4096)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			out->len += (size_t)n;
	kache_buf_add(out, "", 0);
	close(p[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? KACHE_OK : KACHE_E_INVALID;
}

int kache_memo_ask(const char *const *argv, struct kache_buf *out)
{
	return output_of(argv, false, out);
}

void kache_memo_libraries(const char *program, struct kache_strs *out)
{
	KACHE_AUTO_BUF struct kache_buf text_ = KACHE_BUF_INIT;
	const char *const argv[] = { program, NULL };

	if (output_of(argv, true, &text_))
		return;		/* static: all of it is in the program */
	for (const char *p = text_.data; p && *p;) {
		size_t len = strcspn(p, "\n");
		KACHE_AUTO_FREE char *line = kache_strndup(p, len);
		char *slash = strchr(line, '/'), *end = slash ? strstr(slash, " (0x") : NULL;

		p += len + (p[len] == '\n');
		if (!end)
			continue;
		*end = '\0';
		/* "libc.so.6 => /lib/libc.so.6", "/lib64/ld-linux.so.2 => …" or that path alone */
		if (strstr(slash, " => /"))
			slash = strstr(slash, " => /") + 4;
		if (!strchr(slash, ' '))
			kache_strs_add(out, slash);
	}
}

int kache_memo_content(struct kache_store *s, struct kache_hasher *h, const char *name, const char *path)
{
	struct kache_hash content;
	struct kache_stat st;
	int rc = KACHE_E_BUSY;

	/* Who copies a toolchain by links changes its files' inodes, but for a moment only. */
	for (int i = 0; i < 5 && rc == KACHE_E_BUSY; i++)
		rc = kache_map_hash(s, path, &st, &content);
	if (rc == KACHE_E_BUSY)
		errno = EBUSY;
	if (rc == KACHE_E_INVALID)	/* a directory in there: its files don't count */
		return KACHE_OK;
	if (rc)
		return rc;
	kache_hasher_field(h, name, content.b, KACHE_HASH_LEN);
	return KACHE_OK;
}

void kache_memo_ahead(struct kache_store *s, const struct kache_strs *paths)
{
	enum { MOST = 4 };
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = processors < 1 ? 1 : processors > MOST ? MOST : (size_t)processors, own = 0;
	KACHE_AUTO_FREE unsigned char *who = kache_alloc(paths->n + 1);
	uint64_t load[MOST] = { 0 };
	pid_t pids[MOST];

	if (n == 1)
		return;
	/* Each file to whom has least so far. */
	for (size_t i = 0; i < paths->n; i++) {
		struct kache_stat st;

		who[i] = 0;
		for (size_t k = 1; k < n; k++)
			if (load[k] < load[who[i]])
				who[i] = (unsigned char)k;
		load[who[i]] += kache_stat(paths->v[i], true, &st) ? 0 : st.size;
	}
	/* inputs.map is shared. A child that can't be had leaves its part to whoever wants it. */
	for (size_t k = 1; k < n; k++) {
		pids[k] = fork();
		if (!pids[k]) {
			own = k;
			break;
		}
	}
	for (size_t i = 0; i < paths->n; i++) {
		struct kache_hash content;
		struct kache_stat st;

		if (who[i] == own)
			(void)kache_map_hash(s, paths->v[i], &st, &content);
	}
	if (own)
		_exit(0);
	for (size_t k = 1; k < n; k++)
		kache_memo_end(pids[k]);
}

pid_t kache_memo_begin(struct kache_store *s, const struct kache_strs *paths)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	kache_memo_ahead(s, paths);
	_exit(0);
}

void kache_memo_end(pid_t pid)
{
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

char *kache_memo_path(const struct kache_store *s, struct kache_hasher *h)
{
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash id;

	kache_hasher_end(h, &id);
	return kache_concat(s->root, "/compilers/", kache_hash_hex(&id, hex), NULL);
}

void kache_call_compiler_files(const struct kache_call *c, struct kache_strs *out)
{
	struct kache_memo m = { 0 };

	if (c->compiler.memo && kache_memo_read(c->compiler.memo, &m))
		for (size_t i = 0; i < m.watched.n; i++)
			if (m.watched.v[i][0] == '/')
				kache_strs_add(out, m.watched.v[i]);
	kache_memo_release(&m);
}

bool kache_call_compiler_same(const struct kache_call *c)
{
	struct kache_memo m = { 0 };
	bool same = c->compiler.memo && kache_memo_read(c->compiler.memo, &m) && kache_hash_eq(&m.compiler.id, &c->compiler.id);

	kache_memo_release(&m);
	return same;
}
