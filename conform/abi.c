/* Group abi: the module as a shared object, and what its entry hands out. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
	const unsigned char *p;
	size_t len;
};

static bool map(const char *path, struct image *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(ElfW(Ehdr))) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	*out = (struct image){ p, (size_t)st.st_size };
	return p != MAP_FAILED && !memcmp(p, ELFMAG, SELFMAG);
}

/* The dynamic symbols: how many are defined and visible, whether one of them is the entry, and one that is undefined
 * and of kache's. */
static bool symbols(const struct image *i, unsigned *defined, bool *entry, const char **foreign)
{
	const ElfW(Ehdr) *e = (const void *)i->p;
	const ElfW(Shdr) *sections = (const void *)(i->p + e->e_shoff);

	*defined = 0;
	*entry = false;
	*foreign = NULL;
	if (e->e_shoff + (size_t)e->e_shnum * sizeof *sections > i->len)
		return false;
	for (unsigned s = 0; s < e->e_shnum; s++) {
		const ElfW(Sym) *sym = (const void *)(i->p + sections[s].sh_offset);
		const char *names;

		if (sections[s].sh_type != SHT_DYNSYM)
			continue;
		names = (const char *)i->p + sections[sections[s].sh_link].sh_offset;
		for (size_t n = 1; n < sections[s].sh_size / sizeof *sym; n++) {
			const char *name = names + sym[n].st_name;

			if (sym[n].st_shndx == SHN_UNDEF) {
				if (!strncmp(name, "kache_", 6) || !strncmp(name, "kb_", 3))
					*foreign = name;
				continue;
			}
			if (name[0] == '_')		/* the linker's own */
				continue;
			*defined += 1;
			*entry |= !strcmp(name, "kache_backend_1");
		}
		return true;
	}
	return false;
}

static void image_points(struct kit *k)
{
	struct image i;
	unsigned defined;
	const char *foreign;
	bool entry;

	if (!map(k->path, &i) || !symbols(&i, &defined, &entry, &foreign)) {
		kit_skip("no symbol table", "it exports its entry and nothing else");
		return;
	}
	kit_ok(entry && defined == 1, "it exports its entry and nothing else (%u symbols)", defined);
	kit_ok(!foreign, "it needs no symbol of the program that loads it%s%s", foreign ? ": " : "", foreign ? foreign : "");
	munmap((void *)i.p, i.len);
}

static void table_points(const struct kit *k)
{
	const struct kb_backend *b = &k->m->be;
	static const uint32_t all = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_TTL |
				    KB_CAP_MAY_EVICT | KB_CAP_FD;
	KACHE_AUTO_FREE char *file = kache_asprintf("kache-%s.so", b->name);
	const char *slash = strrchr(k->path, '/');

	kit_ok(b->magic == KB_MAGIC && b->abi_major == KB_ABI_MAJOR, "magic and major version");
	kit_ok(kache_module_name_ok(b->name) && !strcmp(slash ? slash + 1 : k->path, file), "its name is that of its file");
	kit_ok(b->version && *b->version && b->summary && *b->summary && !strchr(b->summary, '\n'), "version and summary");
	kit_ok(b->schemes && *b->schemes, "at least one scheme");
	kit_ok(b->open && b->close && b->get && b->put, "the four slots that have to be there");
	kit_ok(b->threads == KB_THREADS_SERIAL || b->threads == KB_THREADS_PER_HANDLE || b->threads == KB_THREADS_PARALLEL,
	       "a thread model of the header");
	kit_ok(!(b->caps & ~all), "no capability but those of the header");
	kit_ok(!(b->caps & KB_CAP_PUT_IF_ABSENT) || b->caps & KB_CAP_WRITE, "capabilities that fit each other");
}

/* A host of a later minor version whose struct is longer: the module sees what it knows. */
static void later_host(const struct kit *k)
{
	static struct {
		struct kb_host host;
		unsigned char more[64];
	} later;
	const struct kb_backend *again;
	kb_entry_fn *entry = k->m->entry;

	later.host = kache_host;
	memset(later.more, 0xa5, sizeof later.more);
	later.host.struct_size = sizeof later;
	later.host.abi_minor = KB_ABI_MINOR + 1;
	again = entry(&later.host);
	kit_ok(again && again->magic == KB_MAGIC, "it loads with a host of a later minor version");
	/* And back to the real one, which everything after this uses. */
	again = entry(&kache_host);
	kit_ok(again && !strcmp(again->name, k->m->be.name), "and again with this one");
}

void kit_abi(struct kit *k)
{
	unsigned fds = kit_fds(), threads = kit_threads_now();

	image_points(k);
	table_points(k);
	later_host(k);
	kit_ok(kit_fds() == fds && kit_threads_now() == threads, "its entry opens nothing and starts nothing");
}
