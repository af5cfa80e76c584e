/* The text protocol. */
#include "config.h"
#include "memcached.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 2048 };

/* The key has been checked: it holds no blank and no control character. */
static size_t request(struct memcached_conn *c, const struct memcached_request *r, char buf[MEMCACHED_REQUEST_MAX])
{
	int key_len = (int)r->key_len, n = 0;

	(void)c;
	switch (r->op) {
	case MEMCACHED_GET:
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "get %.*s\r\n", key_len, r->key);
		break;
	case MEMCACHED_SET:
	case MEMCACHED_ADD:
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "%s %.*s 0 %" PRIu32 " %" PRIu64 "\r\n",
			     r->op == MEMCACHED_SET ? "set" : "add", key_len, r->key, r->exptime, r->value);
		break;
	case MEMCACHED_DELETE:
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "delete %.*s\r\n", key_len, r->key);
		break;
	case MEMCACHED_TOUCH:
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "touch %.*s %" PRIu32 "\r\n", key_len, r->key, r->exptime);
		break;
	case MEMCACHED_STATS:
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "stats %.*s\r\n", key_len, r->key);
		break;
	case MEMCACHED_LOGIN:	/* a set of "user password" under any key, of a server started with -Y */
		n = snprintf(buf, MEMCACHED_REQUEST_MAX, "set kache 0 0 %zu\r\n%.*s ",
			     r->key_len + 1 + (size_t)r->value, key_len, r->key);
		break;
	}
	return (size_t)n;
}

int memcached_text_status(const char *line)
{
	static const struct { const char *part; int status; } table[] = {
		{ "object too large", KB_E_TOOBIG },
		{ "out of memory", KB_E_NOSPACE },
		{ "unauthenticated", KB_E_AUTH },
		{ "authentication failure", KB_E_AUTH },
		{ "too many open connections", KB_E_THROTTLED },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (strcasestr(line, table[i].part))
			return table[i].status;
	/* ERROR: a command the server does not know; CLIENT_ERROR: one it can't read */
	return strncmp(line, "SERVER_ERROR", 12) ? KB_E_UNSUPPORTED : KB_E_TRANSIENT;
}

/* What is wrong, or a reply to something else. After one that was not foreseen the next would be read
 * for the answer to another request. */
static int other(struct memcached_conn *c, const char *line, struct kb_call *call)
{
	int status;

	if (strncmp(line, "SERVER_ERROR", 12) && strncmp(line, "CLIENT_ERROR", 12) && strncmp(line, "ERROR", 5))
		return memcached_garbled(c, call);
	status = memcached_text_status(line);
	/* what was refused has been read to its end, unless there was no room to read it */
	if ((status != KB_E_TOOBIG && status != KB_E_NOSPACE) || strstr(line, "during read"))
		memcached_conn_drop(c);
	return memcached_refused(c, status, line, call);
}

/* VALUE key flags bytes */
static int value_line(struct memcached_conn *c, const struct memcached_request *r, const char *line, uint64_t *size,
		      struct kb_call *call)
{
	char *end;

	line += 6;
	if (strncmp(line, r->key, r->key_len) || line[r->key_len] != ' ')
		return memcached_garbled(c, call);
	strtoul(line + r->key_len + 1, &end, 10);
	if (*end != ' ' || end[1] < '0' || end[1] > '9')
		return memcached_garbled(c, call);
	*size = strtoull(end + 1, &end, 10);
	return (*end && *end != ' ') || *size > INT64_MAX ? memcached_garbled(c, call) : KB_OK;
}

static int reply(struct memcached_conn *c, const struct memcached_request *r, uint64_t *size, struct kb_call *call)
{
	static const struct { enum memcached_op op; const char *line; int status; } table[] = {
		{ MEMCACHED_GET, "END", KB_MISS },
		{ MEMCACHED_SET, "STORED", KB_OK },
		{ MEMCACHED_ADD, "STORED", KB_OK }, { MEMCACHED_ADD, "NOT_STORED", KB_EXISTS },
		{ MEMCACHED_DELETE, "DELETED", KB_OK }, { MEMCACHED_DELETE, "NOT_FOUND", KB_MISS },
		{ MEMCACHED_TOUCH, "TOUCHED", KB_OK }, { MEMCACHED_TOUCH, "NOT_FOUND", KB_MISS },
		{ MEMCACHED_LOGIN, "STORED", KB_OK },
	};
	char line[TEXT_MAX];
	int rc = memcached_conn_line(c, line, sizeof line, call);

	if (rc)
		return rc;
	if (r->op == MEMCACHED_GET && !strncmp(line, "VALUE ", 6))
		return value_line(c, r, line, size, call);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].op == r->op && !strcmp(table[i].line, line))
			return table[i].status;
	return other(c, line, call);
}

static int get_end(struct memcached_conn *c, struct kb_call *call)
{
	char line[TEXT_MAX];
	int rc = memcached_conn_line(c, line, sizeof line, call);

	if (!rc && *line)
		return memcached_garbled(c, call);
	if (!rc)
		rc = memcached_conn_line(c, line, sizeof line, call);
	return !rc && strcmp(line, "END") ? memcached_garbled(c, call) : rc;
}

static int stat(struct memcached_conn *c, char name[64], char value[64], struct kb_call *call)
{
	char line[TEXT_MAX];
	int rc = memcached_conn_line(c, line, sizeof line, call);

	if (rc)
		return rc;
	if (!strcmp(line, "END"))
		return KB_MISS;
	if (strncmp(line, "STAT ", 5))
		return other(c, line, call);
	*name = *value = '\0';
	(void)sscanf(line, "STAT %63s %63s", name, value);
	return KB_OK;
}

const struct memcached_wire memcached_text = { request, "\r\n", reply, get_end, stat };
