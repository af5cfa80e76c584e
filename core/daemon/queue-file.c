#include "config.h"
#include "daemon/queue-file.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char head[] = "kache-queue 1 ";

char *kache_queue_path(const char *root, const struct kache_hash *result)
{
	char hex[KACHE_HEX_LEN + 1];

	return kache_asprintf("%s/queue/%s", root, kache_hash_hex(result, hex));
}

int kache_queue_put(const char *root, const struct kache_hash *result, const struct kache_hash *invocation,
		    const struct kache_hash *remotes, const char *folder)
{
	KACHE_AUTO_FREE char *path = kache_queue_path(root, result), *text = NULL, *dir = NULL;
	char hex[KACHE_HEX_LEN + 1], whose[KACHE_HEX_LEN + 1];
	ssize_t len;
	int fd;

	fd = kache_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
	if (fd < 0 && errno == ENOENT) {
		dir = kache_asprintf("%s/queue", root);
		if (mkdir(dir, 0777) && errno != EEXIST)
			return KACHE_E_IO;
		fd = kache_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
	}
	if (fd < 0)
		return errno == EEXIST ? KACHE_OK : KACHE_E_IO;
	text = kache_asprintf("%s%s %s %s\n", head, kache_hash_hex(invocation, hex), kache_hash_hex(remotes, whose),
			       folder);
	len = (ssize_t)strlen(text);
	/* One write: whoever reads half a record sees that its end is missing. */
	if (write(fd, text, (size_t)len) != len) {
		unlink(path);
		close(fd);
		return KACHE_E_IO;
	}
	close(fd);
	return KACHE_OK;
}

int kache_queue_get(const char *root, const struct kache_hash *result, struct kache_hash *invocation,
		    struct kache_hash *remotes, char **folder)
{
	KACHE_AUTO_FREE char *path = kache_queue_path(root, result);
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const size_t start = sizeof head - 1, second = start + KACHE_HEX_LEN + 1, name = second + KACHE_HEX_LEN + 1;
	int rc = kache_file_read(path, 1024, &text);

	if (rc)
		return rc == KACHE_E_TOOBIG ? KACHE_E_CORRUPT : errno == ENOENT ? KACHE_E_NOENT : rc;
	if (text.len < name + 2 || memcmp(text.data, head, start) || text.data[text.len - 1] != '\n' ||
	    text.data[second - 1] != ' ' || text.data[name - 1] != ' ' ||
	    !kache_hash_parse(text.data + start, KACHE_HEX_LEN, invocation) ||
	    !kache_hash_parse(text.data + second, KACHE_HEX_LEN, remotes))
		return KACHE_E_CORRUPT;
	for (size_t i = name; i < text.len - 1; i++)
		if (!((text.data[i] >= 'a' && text.data[i] <= 'z') || (text.data[i] >= '0' && text.data[i] <= '9') ||
		      text.data[i] == '_'))
			return KACHE_E_CORRUPT;
	*folder = kache_strndup(text.data + name, text.len - 1 - name);
	return KACHE_OK;
}
