/* The memcached backend's table, options and life cycle. */
#include "config.h"
#include "memcached.h"

#include <stdlib.h>
#include <string.h>

enum { INFLIGHT = 8, ITEM_MIN = 2 * MEMCACHED_ITEM_EXTRA };

const struct kb_host *memcached_host;

static const struct kb_opt options[] = {
	{ KB_OPT_STR, 0, 0, 0, "user", NULL, NULL, NULL, "KACHE_MEMCACHED_USER",
	  "name to log in with" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "password", NULL, NULL, NULL, "KACHE_MEMCACHED_PASSWORD",
	  "password to log in with" },
	{ KB_OPT_ENUM, 0, 0, 0, "protocol", NULL, "auto", "auto|text|binary", NULL,
	  "auto: binary with a user (SASL), text without one; text with a user: the server's own password file" },
	{ KB_OPT_UINT, 0, 0, 1000000000, "ttl", NULL, "0", NULL, NULL,
	  "seconds that an object is kept, 0: as long as there is room" },
	{ KB_OPT_SIZE, 0, 0, 1u << 30, "item-max", NULL, "0", NULL, NULL,
	  "size of an item, where it is to be less than what the server says; 0: what it says" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static const char *text(const kb_conf *conf, const char *name)
{
	const char *value = memcached_host->conf_str(conf, name);

	return value && *value ? value : NULL;
}

/* SASL and the server's password file: user and password of a moderate length, no blanks or NULs. */
static int check_login(const kb_conf *conf, struct kb_call *call)
{
	const char *user = text(conf, "user"), *password = text(conf, "password");
	const char *protocol = text(conf, "protocol");

	if (!user && password)
		return memcached_host->fail(call, KB_E_CONFIG, "user: missing, and there is a password");
	if (user && !password)
		return memcached_host->fail(call, KB_E_CONFIG, "password: missing, and there is a user");
	if (user && strlen(user) + strlen(password) > MEMCACHED_LOGIN_MAX)
		return memcached_host->fail(call, KB_E_CONFIG, "user: longer than %d bytes with the password", MEMCACHED_LOGIN_MAX);
	if (user && protocol && !strcmp(protocol, "text") && (strpbrk(user, " \r\n") || strpbrk(password, " \r\n")))
		return memcached_host->fail(call, KB_E_CONFIG, "user: neither it nor the password may hold blanks with protocol=text");
	return KB_OK;
}

static int check_item_max(const kb_conf *conf, struct kb_call *call)
{
	uint64_t size = memcached_host->conf_u64(conf, "item-max");

	return size && size < ITEM_MIN ? memcached_host->fail(call, KB_E_CONFIG, "item-max: at least %d bytes, or 0", ITEM_MIN)
				       : KB_OK;
}

static int check(const kb_conf *conf, struct kb_call *call)
{
	struct memcached_servers servers;
	int rc = memcached_url_parse(memcached_host->conf_str(conf, "url"), &servers, call);

	if (!rc)
		memcached_servers_release(&servers);
	if (!rc)
		rc = check_login(conf, call);
	return rc ? rc : check_item_max(conf, call);
}

static int login(struct kb_handle *h, struct memcached_conn *c, struct kb_call *call)
{
	struct memcached_request r = { .op = MEMCACHED_LOGIN, .key = h->user, .key_len = strlen(h->user),
				       .value = strlen(h->password) };
	char buf[MEMCACHED_REQUEST_MAX];
	const char *name = c->address->name;
	uint64_t size;
	int rc = memcached_conn_send(c, buf, h->wire->request(c, &r, buf), true, call);

	if (!rc)
		rc = memcached_conn_send(c, h->password, (size_t)r.value, *h->wire->value_end, call);
	if (!rc)
		rc = memcached_conn_send(c, h->wire->value_end, strlen(h->wire->value_end), false, call);
	if (!rc)
		rc = h->wire->reply(c, &r, &size, call);
	if (rc == KB_E_AUTH)
		rc = memcached_host->fail(call, rc, "%s does not let user %.60s in with this password", name, h->user);
	else if (rc == KB_E_UNSUPPORTED)
		rc = memcached_host->fail(call, KB_E_CONFIG, "user: %s has no log-in of this kind (SASL's PLAIN; protocol=text "
					  "for a password file)", name);
	return rc;
}

static int learn(struct kb_handle *h, struct memcached_conn *c, struct kb_call *call)
{
	const struct memcached_request r = { .op = MEMCACHED_STATS, .key = "settings", .key_len = 8 };
	char buf[MEMCACHED_REQUEST_MAX], name[64], value[64];
	uint64_t found = 0;
	int rc = memcached_conn_send(c, buf, h->wire->request(c, &r, buf), false, call);

	while (!rc) {
		rc = h->wire->stat(c, name, value, call);
		if (!rc && !strcmp(name, "item_size_max"))
			found = strtoull(value, NULL, 10);
	}
	if (rc == KB_E_AUTH)
		return memcached_host->fail(call, rc, "%s wants a user and a password", c->address->name);
	if (rc != KB_MISS)
		return rc;
	if (found && found < ITEM_MIN)
		return memcached_host->fail(call, KB_E_CONFIG, "%s takes items of %llu bytes, too small to be of use; it is started "
					    "with -I 1m", c->address->name, (unsigned long long)found);
	/* what is in front of some servers says nothing: 1 MiB is what a server has unless told otherwise */
	c->item_max = found ? found : 1 << 20;
	return KB_OK;
}

int memcached_ready(struct kb_handle *h, struct memcached_conn *c, struct kb_call *call)
{
	int rc;

	memcached_conn_start(c);
	if (c->fd >= 0)
		return KB_OK;
	rc = memcached_conn_open(c, h->servers.n > 1, call);
	if (!rc && h->user)
		rc = login(h, c, call);
	if (!rc)
		rc = learn(h, c, call);
	if (rc)
		memcached_conn_drop(c);
	return rc;
}

uint64_t memcached_max_object(const struct kb_handle *h, const struct memcached_conn *c)
{
	uint64_t size = h->item_max && h->item_max < c->item_max ? h->item_max : c->item_max;

	return size - MEMCACHED_ITEM_EXTRA;
}

/* So that one server that does not answer leaves time for the others. */
static uint64_t share_of_time(const struct kb_call *call, size_t servers)
{
	uint64_t now = memcached_now();

	return call->deadline_ns > now ? now + (call->deadline_ns - now) / servers : call->deadline_ns;
}

/* Asks every server. One that can be used is enough, but a refused password is one's own mistake. */
static int ask_all(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	int rc = KB_OK, bad = KB_OK;
	size_t good = 0;

	limits->max_object = 0;
	for (size_t i = 0; i < h->servers.n; i++) {
		struct memcached_conn *c = &h->conns[i];
		bool fresh;

		memcached_conn_start(c);
		fresh = c->fd < 0;
		c->until = share_of_time(call, h->servers.n - i);
		rc = memcached_ready(h, c, call);
		if (!rc && !fresh)
			rc = learn(h, c, call);
		c->until = 0;
		if (rc == KB_E_AUTH || rc == KB_E_CONFIG || rc == KB_E_CANCELLED || rc == KB_E_LOCAL)
			return rc;
		if (rc) {
			bad = rc;
			if (h->servers.n > 1)
				memcached_host->log(4, "%s does not answer; what belongs there is neither found nor stored",
						    c->address->name);
			continue;
		}
		good++;
		if (!limits->max_object || memcached_max_object(h, c) < limits->max_object)
			limits->max_object = memcached_max_object(h, c);
	}
	limits->max_inflight = INFLIGHT;
	return good ? KB_OK : bad;
}

static void close_handle(kb_handle *h)
{
	for (size_t i = 0; h->conns && i < h->servers.n; i++) {
		memcached_conn_drop(&h->conns[i]);
		free(h->conns[i].in);
	}
	free(h->conns);
	if (h->placement)
		memcached_free(h->placement);
	memcached_servers_release(&h->servers);
	free(h->user);
	free(h->password);
	free(h);
}

/* No server is talked to by the library: it only knows their names. */
static int place(struct kb_handle *h, struct kb_call *call)
{
	memcached_return_t rc;

	h->placement = memcached_create(NULL);
	h->conns = calloc(h->servers.n, sizeof *h->conns);
	if (!h->placement || !h->conns)
		return memcached_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = memcached_behavior_set(h->placement, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
	for (size_t i = 0; i < h->servers.n && rc == MEMCACHED_SUCCESS; i++) {
		const struct memcached_address *a = &h->servers.list[i];

		h->conns[i] = (struct memcached_conn){ .address = a, .fd = -1, .in = malloc(MEMCACHED_BUFFER) };
		if (!h->conns[i].in)
			return memcached_host->fail(call, KB_E_LOCAL, "out of memory");
		rc = a->port ? memcached_server_add(h->placement, a->host, (in_port_t)a->port)
			     : memcached_server_add_unix_socket(h->placement, a->host);
	}
	if (rc != MEMCACHED_SUCCESS)
		return memcached_host->fail(call, KB_E_LOCAL, "libmemcached: %s", memcached_strerror(h->placement, rc));
	return KB_OK;
}

static int settings(const kb_conf *conf, struct kb_handle *h, struct kb_call *call)
{
	const char *user = text(conf, "user"), *password = text(conf, "password"), *protocol = text(conf, "protocol");
	bool binary = protocol && !strcmp(protocol, "auto") ? user != NULL : protocol && !strcmp(protocol, "binary");
	int rc = memcached_url_parse(memcached_host->conf_str(conf, "url"), &h->servers, call);

	if (rc)
		return rc;
	h->wire = binary ? &memcached_binary : &memcached_text;
	h->ttl_s = (int64_t)memcached_host->conf_u64(conf, "ttl");
	h->item_max = memcached_host->conf_u64(conf, "item-max");
	h->user = user ? strdup(user) : NULL;
	h->password = user ? strdup(password ? password : "") : NULL;
	if (user && (!h->user || !h->password))
		return memcached_host->fail(call, KB_E_LOCAL, "out of memory");
	return KB_OK;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h;
	int rc = check(conf, call);

	if (rc)
		return rc;
	h = calloc(1, sizeof *h);
	if (!h)
		return memcached_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = settings(conf, h, call);
	if (!rc)
		rc = place(h, call);
	if (!rc)
		rc = ask_all(h, limits, call);
	if (rc)
		close_handle(h);
	else
		*out = h;
	return rc;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PER_HANDLE,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_TTL | KB_CAP_MAY_EVICT,
	.name = "memcached", .version = PACKAGE_VERSION, .summary = "memcached servers", .schemes = "memcached memcached+unix",
	.opts = options, .opt_size = sizeof options[0],
	.check = check, .open = open_handle, .close = close_handle, .get = memcached_op_get, .put = memcached_op_put,
	.del = memcached_op_del, .touch = memcached_op_touch, .ping = ask_all,
};

KB_ENTRY(memcached)
{
	memcached_host = kb_host_arg;
	return &table;
}
