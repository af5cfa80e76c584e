/* The redis backend's table, options and life cycle. */
#define _GNU_SOURCE
#include "redis.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct kb_host *redis_host;

static const struct kb_opt options[] = {
	{ KB_OPT_STR, 0, 0, 0, "user", NULL, NULL, NULL, "KACHE_REDIS_USER", "user (ACL); also in the URL" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "password", NULL, NULL, NULL, "KACHE_REDIS_PASSWORD", "password; also in the URL" },
	{ KB_OPT_PATH, 0, 0, 0, "password-file", NULL, NULL, NULL, "KACHE_REDIS_PASSWORD_FILE", "file whose first line is the password" },
	{ KB_OPT_UINT, 0, 0, 1000000, "database", NULL, NULL, NULL, NULL, "number of the database; also in the URL's path" },
	{ KB_OPT_MSEC, 0, 0, 1000ULL * 3600 * 24 * 3650, "ttl", NULL, NULL, NULL, NULL, "how long objects live, in whole seconds; default: until evicted" },
	{ KB_OPT_BOOL, 0, 0, 0, "refresh", NULL, "true", NULL, NULL, "a read begins the ttl anew" },
	{ KB_OPT_SIZE, 0, 1 << 16, 512 << 20, "max-value", NULL, "32MiB", NULL, NULL,
	  "largest value; a large one keeps all other clients waiting, so larger objects are cut to pieces" },
	{ KB_OPT_UINT, 0, 1, 256, "connections", NULL, "16", NULL, NULL, "connections at the same time" },
	{ KB_OPT_PATH, 0, 0, 0, "ca-file", NULL, NULL, NULL, "KACHE_CA_FILE", "certificates to trust (PEM)" },
	{ KB_OPT_PATH, 0, 0, 0, "cert", NULL, NULL, NULL, NULL, "client certificate (PEM)" },
	{ KB_OPT_PATH, 0, 0, 0, "key", NULL, NULL, NULL, NULL, "its key (PEM)" },
	{ KB_OPT_STR, 0, 0, 0, "sni", NULL, NULL, NULL, NULL, "name that the server's certificate is for, if it is not the URL's host" },
	{ KB_OPT_BOOL, 0, 0, 0, "insecure", NULL, "false", NULL, NULL, "do not verify the server's certificate" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static char *first_line(const char *path)
{
	char buf[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
	char *line;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	line = strdup(buf);
	explicit_bzero(buf, sizeof buf);
	return line;
}

static int replace(char **to, const char *with, struct kb_call *call)
{
	if (!with)
		return KB_OK;
	free(*to);
	*to = strdup(with);
	return *to ? KB_OK : redis_host->fail(call, KB_E_LOCAL, "out of memory");
}

/* The URL, with what the options say beside it. Reads no file unless `files`. */
static int where(const kb_conf *conf, bool files, struct redis_url *u, struct kb_call *call)
{
	const char *file = redis_host->conf_str(conf, "password-file"), *user = redis_host->conf_str(conf, "user");
	const char *password = redis_host->conf_str(conf, "password");
	uint64_t database = redis_host->conf_u64(conf, "database");
	int rc = redis_url_parse(redis_host->conf_str(conf, "url"), u, call);

	if (!rc && !u->user)
		rc = replace(&u->user, user, call);
	if (!rc && !u->password)
		rc = replace(&u->password, password, call);
	if (!rc && !u->password && file && files) {
		u->password = first_line(file);
		if (!u->password)
			rc = redis_host->fail(call, KB_E_CONFIG, "password-file: %s can't be read", file);
	}
	if (!rc && u->user && !u->password && !file)
		rc = redis_host->fail(call, KB_E_CONFIG, "password: is missing; it goes with user");
	if (!rc && database && u->database && u->database != database)
		rc = redis_host->fail(call, KB_E_CONFIG, "database: the URL names another one");
	if (!rc && database && u->mode == REDIS_CLUSTER)
		rc = redis_host->fail(call, KB_E_CONFIG, "database: a cluster has database 0 only");
	if (!rc && database)
		u->database = (unsigned)database;
	if (!rc && !redis_host->conf_str(conf, "cert") != !redis_host->conf_str(conf, "key"))
		rc = redis_host->fail(call, KB_E_CONFIG, "%s: is missing; cert and key go together",
				      redis_host->conf_str(conf, "cert") ? "key" : "cert");
	return rc;
}

static int check(const kb_conf *conf, struct kb_call *call)
{
	struct redis_url u = { 0 };
	int rc = where(conf, false, &u, call);

	redis_url_release(&u);
	return rc;
}

static int set_tls(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *ca = redis_host->conf_str(conf, "ca-file"), *cert = redis_host->conf_str(conf, "cert");
	bool ok;

	h->tls = SSL_CTX_new(TLS_client_method());
	if (!h->tls)
		return redis_host->fail(call, KB_E_LOCAL, "OpenSSL can't be set up");
	SSL_CTX_set_min_proto_version(h->tls, TLS1_2_VERSION);
	SSL_CTX_set_mode(h->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(h->tls, redis_host->conf_u64(conf, "insecure") ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	ok = ca ? SSL_CTX_load_verify_locations(h->tls, ca, NULL) == 1 : SSL_CTX_set_default_verify_paths(h->tls) == 1;
	ERR_clear_error();
	if (!ok)
		return redis_host->fail(call, KB_E_CONFIG, "ca-file: %s can't be used", ca ? ca : "the system's");
	if (cert && (SSL_CTX_use_certificate_chain_file(h->tls, cert) != 1 ||
		     SSL_CTX_use_PrivateKey_file(h->tls, redis_host->conf_str(conf, "key"), SSL_FILETYPE_PEM) != 1)) {
		ERR_clear_error();
		return redis_host->fail(call, KB_E_CONFIG, "cert, key: can't be used");
	}
	return KB_OK;
}

static void close_handle(struct kb_handle *h)
{
	redis_close_idle(h);
	redis_url_release(&h->url);
	SSL_CTX_free(h->tls);
	for (size_t i = 0; i < h->n_nodes; i++)
		free(h->nodes[i]);
	free(h->nodes);
	free(h->slots);
	free(h->master);
	free(h->sni);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int set_up(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *sni = redis_host->conf_str(conf, "sni");
	int rc = where(conf, true, &h->url, call);

	if (!rc && h->url.tls)
		rc = set_tls(h, conf, call);
	if (!rc && sni && !(h->sni = strdup(sni)))
		rc = redis_host->fail(call, KB_E_LOCAL, "out of memory");
	if (!rc && h->url.mode == REDIS_CLUSTER) {
		h->slots = malloc(REDIS_SLOTS * sizeof *h->slots);
		if (h->slots)
			memset(h->slots, 0xff, REDIS_SLOTS * sizeof *h->slots);
		else
			rc = redis_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	h->ttl_s = redis_host->conf_u64(conf, "ttl") / 1000;
	h->max_value = redis_host->conf_u64(conf, "max-value");
	h->refresh = redis_host->conf_u64(conf, "refresh");
	h->connections = (unsigned)redis_host->conf_u64(conf, "connections");
	return rc;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	pthread_mutex_init(&h->lock, NULL);
	rc = set_up(h, conf, call);
	if (!rc)
		rc = redis_ping(h, limits, call);
	if (rc) {
		close_handle(h);
		return rc;
	}
	limits->max_object = h->max_value;
	limits->max_inflight = h->connections;
	limits->max_batch = 1000;
	*out = h;
	return KB_OK;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_TTL | KB_CAP_MAY_EVICT,
	.opt_size = sizeof(struct kb_opt),
	.name = "redis", .version = "1.0", .summary = "Redis and Valkey",
	.schemes = "redis rediss unix redis+unix redis-cluster rediss-cluster redis-sentinel rediss-sentinel",
	.opts = options, .check = check, .open = open_handle, .close = close_handle,
	.get = redis_get, .put = redis_put, .head = redis_head, .del = redis_del, .touch = redis_touch, .list = redis_list,
	.batch = redis_batch, .ping = redis_ping,
};

KB_ENTRY(redis)
{
	redis_host = kb_host_arg;
	return &table;
}
