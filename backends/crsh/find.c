/* Which program is run, and where it listens. */
#include "config.h"
#include "crsh.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Where ccache looks besides PATH, as it is usually installed. */
static const char *const places[] = { "/usr/local/libexec/ccache", "/usr/libexec/ccache" };

static int no_memory(struct kb_call *call)
{
	return crsh_host->fail(call, KB_E_LOCAL, "out of memory");
}

/* May it be run: a file of root's or our own that nobody else can change. NULL, or what is wrong. */
static const char *distrusted(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is not a file";
	if (access(path, X_OK))
		return "it can't be executed";
	if (st.st_uid && st.st_uid != geteuid())
		return "it belongs to neither root nor you";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "others may change it; see chmod go-w";
	return NULL;
}

/* KB_MISS if it is not in that directory. Directories that are not absolute are no places to run things from. */
static int in_directory(struct crsh_settings *s, const char *dir, size_t len, const char *name, struct kb_call *call)
{
	const char *wrong;

	if (!len || *dir != '/')
		return KB_MISS;
	if (asprintf(&s->program, "%.*s/%s", (int)len, dir, name) < 0) {
		s->program = NULL;
		return no_memory(call);
	}
	if (access(s->program, F_OK)) {
		free(s->program);
		s->program = NULL;
		return KB_MISS;
	}
	wrong = distrusted(s->program);
	return wrong ? crsh_host->fail(call, KB_E_CONFIG, "helper: %.150s: %s", s->program, wrong) : KB_OK;
}

static int find_program(struct crsh_settings *s, struct kb_call *call)
{
	const char *path = getenv("PATH"), *wrong;
	char name[64];
	int rc = KB_MISS;

	if (s->helper && *s->helper == '/') {
		s->program = strdup(s->helper);
		if (!s->program)
			return no_memory(call);
		wrong = distrusted(s->program);
		return wrong ? crsh_host->fail(call, KB_E_CONFIG, "helper: %.150s: %s", s->program, wrong) : KB_OK;
	}
	if ((size_t)snprintf(name, sizeof name, "%s%s", s->helper ? "" : "ccache-storage-", s->helper ? s->helper : s->scheme) >=
	    sizeof name)
		return crsh_host->fail(call, KB_E_CONFIG, "helper: a name of more than %zu bytes", sizeof name - 1);
	for (size_t i = 0; i < sizeof places / sizeof *places && rc == KB_MISS; i++)
		rc = in_directory(s, places[i], strlen(places[i]), name, call);
	while (rc == KB_MISS && path && *path) {
		size_t len = strcspn(path, ":");

		rc = in_directory(s, path, len, name, call);
		path += len + (path[len] == ':');
	}
	if (rc == KB_MISS)
		rc = crsh_host->fail(call, KB_E_CONFIG, "helper: there is no %s in %s, %s or PATH", name, places[0], places[1]);
	return rc;
}

/* A directory of ours alone: who can reach a socket in it has the storage. */
static int make_directory(char **out, struct kb_call *call)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n = run && *run == '/' ? asprintf(out, "%s/kache-crsh", run)
				   : asprintf(out, "/tmp/kache-crsh-%lu", (unsigned long)geteuid());

	if (n < 0) {
		*out = NULL;
		return no_memory(call);
	}
	if (mkdir(*out, 0700) && errno != EEXIST)
		return crsh_host->fail(call, KB_E_LOCAL, "%.150s: %s", *out, strerror(errno));
	if (lstat(*out, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return crsh_host->fail(call, KB_E_LOCAL, "%.150s is not a directory of yours alone (mode 0700)", *out);
	return KB_OK;
}

/* One helper for all who want the same of it: its socket is named after everything it is started with. */
static int name_socket(struct crsh_settings *s, struct kb_call *call)
{
	unsigned char hash[32];
	char *dir = NULL, *all = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&all, &len);
	int rc = out ? make_directory(&dir, call) : no_memory(call);

	if (out) {
		fprintf(out, "%s%c%s%c%llu", s->program, 0, s->url, 0, (unsigned long long)s->idle_s);
		for (size_t i = 0; i < s->n_attributes; i++)
			fprintf(out, "%c%s%c%s", 0, s->attributes[i].key, 0, s->attributes[i].value);
		if (fclose(out) && !rc)
			rc = no_memory(call);
	}
	if (!rc && EVP_Digest(all, len, hash, NULL, EVP_sha256(), NULL) != 1)
		rc = crsh_host->fail(call, KB_E_LOCAL, "no SHA-256");
	if (!rc && asprintf(&s->socket, "%s/%.16s-%02x%02x%02x%02x%02x%02x%02x%02x", dir, s->scheme, hash[0], hash[1], hash[2],
			    hash[3], hash[4], hash[5], hash[6], hash[7]) < 0) {
		s->socket = NULL;
		rc = no_memory(call);
	}
	if (!rc && strlen(s->socket) >= sizeof ((struct sockaddr_un *)0)->sun_path)
		rc = crsh_host->fail(call, KB_E_CONFIG, "XDG_RUNTIME_DIR: %.150s is too long for a socket", s->socket);
	free(all);
	free(dir);
	return rc;
}

int crsh_find(struct crsh_settings *s, struct kb_call *call)
{
	int rc = s->url ? find_program(s, call) : KB_OK;

	return rc || !s->url ? rc : name_socket(s, call);
}
