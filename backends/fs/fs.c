/* The fs backend's table, options and life cycle. */
#include "config.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct kb_host *fs_host;

static const struct kb_opt options[] = {
	{ KB_OPT_PATH, 0, 0, 0, "path", NULL, NULL, NULL, NULL,
	  "directory of the objects, where the URL is just file:" },
	{ KB_OPT_BOOL, 0, 0, 0, "create", NULL, "true", NULL, NULL,
	  "make the directory if it is missing and its parent exists" },
	{ KB_OPT_ENUM, 0, 0, 0, "share", NULL, "umask", "umask|group|all", NULL,
	  "who may add and replace objects besides their owner: as the umask says, the group, everybody" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
	     : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes in place (RFC 3986, 2.1); -1 for bad or NUL escapes. */
static int decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%') {
			int high = hex((unsigned char)s[1]), low = high < 0 ? -1 : hex((unsigned char)s[2]);

			if (low < 0 || !(high | low))
				return -1;
			*to++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return 0;
}

/* The directory in fresh memory: of file:///dir or file://localhost/dir (RFC 8089), else of `path`. */
static int directory(const kb_conf *conf, struct kb_call *call, char **out)
{
	const char *url = fs_host->conf_str(conf, "url"), *path = fs_host->conf_str(conf, "path");
	const char *rest = url && !strncmp(url, "file:", 5) ? url + 5 : "";

	*out = NULL;
	if (!strncmp(rest, "//", 2)) {
		rest += 2;
		if (!strncmp(rest, "localhost/", 10))
			rest += 9;
		if (*rest && *rest != '/')
			return fs_host->fail(call, KB_E_CONFIG, "url: file://%s names a host; a directory is file:///dir", rest);
	}
	if (*rest && *rest != '/')
		return fs_host->fail(call, KB_E_CONFIG, "url: file:%s is not absolute; a directory is file:///dir", rest);
	if (*rest && path)
		return fs_host->fail(call, KB_E_CONFIG, "path: the URL has a directory already");
	if (!*rest && !path)
		return fs_host->fail(call, KB_E_CONFIG, "url: no directory; it is given as file:///dir");
	*out = strdup(*rest ? rest : path);
	if (!*out)
		return fs_host->fail(call, KB_E_LOCAL, "out of memory");
	if (*rest && decode(*out)) {
		free(*out);
		*out = NULL;
		return fs_host->fail(call, KB_E_CONFIG, "url: bad %%-escape in file:%s", rest);
	}
	return KB_OK;
}

static int check(const kb_conf *conf, struct kb_call *call)
{
	char *dir;
	int rc = directory(conf, call, &dir);

	free(dir);
	return rc;
}

static int open_dir(const kb_conf *conf, struct kb_handle *h, const char *dir, struct kb_call *call)
{
	h->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->dir < 0 && errno == ENOENT && fs_host->conf_u64(conf, "create")) {
		if (mkdir(dir, h->dir_mode) && errno != EEXIST)
			return fs_host->fail(call, KB_E_CONFIG, "%s can't be made: %s", dir, strerror(errno));
		if (h->exact_mode)
			(void)!chmod(dir, h->dir_mode);
		h->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (h->dir < 0)
		return fs_host->fail(call, errno == EACCES ? KB_E_AUTH : KB_E_CONFIG, "%s: %s", dir, strerror(errno));
	return KB_OK;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	const char *share = fs_host->conf_str(conf, "share");
	struct kb_handle *h = calloc(1, sizeof *h);
	char *dir = NULL;
	int rc;

	if (!h)
		return fs_host->fail(call, KB_E_LOCAL, "out of memory");
	h->exact_mode = share && strcmp(share, "umask");
	/* The set-group-id bit lets folders and files of all writers keep the directory's group. */
	h->file_mode = !h->exact_mode ? 0666 : !strcmp(share, "group") ? 0664 : 0666;
	h->dir_mode = !h->exact_mode ? 0777 : !strcmp(share, "group") ? 02775 : 0777;
	rc = directory(conf, call, &dir);
	if (!rc)
		rc = open_dir(conf, h, dir, call);
	free(dir);
	if (rc) {
		free(h);
		return rc;
	}
	if (faccessat(h->dir, ".", W_OK | X_OK, AT_EACCESS))
		limits->caps &= ~KB_CAP_WRITE;
	*out = h;
	return KB_OK;
}

static void close_handle(kb_handle *h)
{
	close(h->dir);
	free(h);
}

/* Writes a file, links it and removes both: what a put will need. */
static int ping(kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	const struct kb_key top = { ".", 1 };
	char *a = fs_temp(""), *b = fs_temp("");
	int fd = -1, rc = KB_OK;

	if (!a || !b) {
		rc = fs_host->fail(call, KB_E_LOCAL, "out of memory");
		goto out;
	}
	fd = openat(h->dir, a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
		limits->caps &= ~KB_CAP_WRITE;
	} else if (fd < 0 || write(fd, "k", 1) != 1) {
		rc = fs_fail(call, errno, "writing in", top);
	} else if (linkat(h->dir, a, h->dir, b, 0)) {
		limits->caps &= ~KB_CAP_PUT_IF_ABSENT;
	} else {
		unlinkat(h->dir, b, 0);
	}
	if (fd >= 0) {
		close(fd);
		unlinkat(h->dir, a, 0);
	}
out:
	free(a);
	free(b);
	return rc;
}

static const struct kb_backend fs = {
	.magic = KB_MAGIC, .struct_size = sizeof fs, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_FD,
	.name = "fs", .version = PACKAGE_VERSION, .summary = "a shared directory", .schemes = "file",
	.opts = options, .opt_size = sizeof options[0],
	.check = check, .open = open_handle, .close = close_handle, .get = fs_get, .put = fs_put, .head = fs_head,
	.del = fs_del, .touch = fs_touch, .list = fs_list, .ping = ping,
};

KB_ENTRY(fs)
{
	fs_host = kb_host_arg;
	return &fs;
}
