/* The module in children of the kit: what loading and the entry do to a process, with hosts of several versions. */
#include "config.h"
#include "conform/kit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a host of ABI 1.0 has. */
#define FIRST_HOST (offsetof(struct kb_host, log) + sizeof ((struct kb_host *)0)->log)

/* A host of minor 0 whose last byte is the last of what may be read. */
static const struct kb_host *first_host(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kb_host *h;

	if (p == MAP_FAILED || mprotect(p + page, page, PROT_NONE))
		return NULL;
	h = (struct kb_host *)(p + page - FIRST_HOST);
	memcpy(h, &kache_host, FIRST_HOST);
	h->struct_size = FIRST_HOST;
	h->abi_minor = 0;
	return h;
}

/* One of the next minor version, with more at its end: the module sees what it knows. */
static const struct kb_host *later_host(void)
{
	static struct {
		struct kb_host host;
		unsigned char more[64];
	} later;

	later.host = kache_host;
	memset(later.more, 0xa5, sizeof later.more);
	later.host.struct_size = sizeof later;
	later.host.abi_minor = KB_ABI_MINOR + 1;
	return &later.host;
}

/* Reads and writes of this process so far; -1 where the kernel does not tell. */
static long reads_and_writes(void)
{
	FILE *f = fopen("/proc/self/io", "re");
	char line[80];
	long sum = 0, n;
	int found = 0;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "syscr: %ld", &n) == 1 || sscanf(line, "syscw: %ld", &n) == 1) {
			sum += n;
			found++;
		}
	}
	if (f)
		fclose(f);
	return found == 2 ? sum : -1;
}

static void in_child(const char *path, int which, struct kit_probe *out)
{
	const struct kb_host *host = which == KIT_PROBE_FIRST ? first_host() : which == KIT_PROBE_LATER ? later_host() : &kache_host;
	unsigned fds = kit_fds(), threads = kit_threads_now();
	long io[3] = { reads_and_writes(), reads_and_writes(), 0 };
	const struct kb_backend *be;
	kb_entry_fn *entry = NULL;
	void *dl = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;

	symbol = dl ? dlsym(dl, "kache_backend_1") : NULL;
	if (!host || !symbol)
		return;
	memcpy(&entry, &symbol, sizeof entry);
	io[2] = reads_and_writes();
	be = entry(host);
	out->io = io[0] < 0 ? -1 : reads_and_writes() - io[2] - (io[1] - io[0]);
	out->good = be && be->magic == KB_MAGIC && be->abi_major == KB_ABI_MAJOR;
	out->fds = (int)kit_fds() - (int)fds;
	out->threads = (int)kit_threads_now() - (int)threads;
}

static void probe(const char *path, int which, struct kit_probe *out)
{
	struct kit_probe *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (shared == MAP_FAILED)
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(30);
		in_child(path, which, shared);
		shared->survived = true;
		_exit(0);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid) {
		*out = *shared;
		out->made = true;
	}
	munmap(shared, sizeof *shared);
}

void kit_probe(struct kit *k)
{
	for (int i = 0; i < KIT_PROBES; i++)
		probe(k->path, i, &k->probes[i]);
}
