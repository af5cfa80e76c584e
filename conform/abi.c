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

/* What linkers and compilers put in by themselves. */
static bool is_made(const char *name)
{
	static const char *const made[] = {
		"_init", "_fini", "_end", "_edata", "_etext", "__bss_start", "__asan_", "__odr_asan", "__ubsan_", "__tsan_",
		"__sancov", "__start_", "__stop_", "__gcov", "__llvm_",
	};

	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		if (!strncmp(name, made[i], strlen(made[i])))
			return true;
	return false;
}

struct found {
	unsigned defined;		/* symbols that can be seen from outside */
	bool entry;			/* one of them is the entry */
	const char *other, *foreign;	/* one that is not; one that is wanted from kache */
};

static bool symbols(const struct image *i, struct found *out)
{
	const ElfW(Ehdr) *e = (const void *)i->p;
	const ElfW(Shdr) *sections = (const void *)(i->p + e->e_shoff);

	*out = (struct found){ 0 };
	if (e->e_shoff > i->len || (size_t)e->e_shnum * sizeof *sections > i->len - e->e_shoff)
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
					out->foreign = name;
			} else if (!strcmp(name, "kache_backend_1")) {
				out->entry = true;
			} else if (!is_made(name)) {
				out->defined++;
				out->other = name;
			}
		}
		return true;
	}
	return false;
}

static void image_points(struct kit *k)
{
	struct found f;
	struct image i;

	if (!map(k->path, &i) || !symbols(&i, &f)) {
		kit_skip("no symbol table", "it exports its entry and nothing else");
		kit_skip("no symbol table", "it needs no symbol of the program that loads it");
		return;
	}
	kit_ok(f.entry && !f.defined, "it exports its entry and nothing else%s%s", f.other ? ": " : "", f.other ? f.other : "");
	kit_ok(!f.foreign, "it needs no symbol of the program that loads it%s%s", f.foreign ? ": " : "", f.foreign ? f.foreign : "");
	munmap((void *)i.p, i.len);
}

static bool ends_well(const char *line)
{
	return line && *line && !strchr(line, '\n') && strlen(line) < 200;
}

static bool schemes_fit(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+.- ");

	return len && !s[len] && s[0] != ' ' && s[len - 1] != ' ' && !strstr(s, "  ");
}

static void table_points(const struct kit *k)
{
	const struct kb_backend *b = &k->m->be;
	static const uint32_t all = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_TTL |
				    KB_CAP_MAY_EVICT | KB_CAP_FD;
	KACHE_AUTO_FREE char *file = kache_asprintf("kache-%s.so", b->name);
	const char *slash = strrchr(k->path, '/');

	kit_ok(b->magic == KB_MAGIC && b->abi_major == KB_ABI_MAJOR, "magic and major version");
	kit_ok(b->struct_size >= offsetof(struct kb_backend, ping) + sizeof b->ping && !(b->struct_size % sizeof(void *)) &&
	       (b->abi_minor != KB_ABI_MINOR || b->struct_size == sizeof *b) && (!b->opts || b->opt_size >= sizeof(struct kb_opt)),
	       "struct_size and opt_size are those of its minor version (%u, %u)", b->struct_size, b->opt_size);
	kit_ok(kache_module_name_ok(b->name) && !strcmp(slash ? slash + 1 : k->path, file), "its name is that of its file");
	kit_ok(ends_well(b->version) && ends_well(b->summary), "version and summary are a line each");
	kit_ok(schemes_fit(b->schemes), "at least one scheme, in lower case, with a space between two");
	kit_ok(b->open && b->close && b->get && b->put, "the four slots that have to be there");
	kit_ok(b->threads == KB_THREADS_SERIAL || b->threads == KB_THREADS_PER_HANDLE || b->threads == KB_THREADS_PARALLEL,
	       "a thread model of the header");
	kit_ok(!(b->caps & ~all), "no capability but those of the header");
	kit_ok(b->caps & KB_CAP_WRITE || !(b->caps & (KB_CAP_PUT_IF_ABSENT | KB_CAP_ATOMIC_PUT)), "capabilities that fit each other");
}

static void probe_points(const struct kit *k)
{
	static const char *const names[] = {
		[KIT_PROBE_PLAIN] = "it loads into a process of its own",
		[KIT_PROBE_FIRST] = "it loads with a host of minor version 0, and does not look beyond that one's size",
		[KIT_PROBE_LATER] = "it loads with a host of a later minor version, which has more at its end",
	};
	const struct kit_probe *plain = &k->probes[KIT_PROBE_PLAIN];

	for (int i = 0; i < KIT_PROBES; i++) {
		if (k->probes[i].made)
			kit_ok(k->probes[i].survived && k->probes[i].good, "%s%s", names[i], k->probes[i].survived ? "" : " (it crashes)");
		else
			kit_skip("no child process", "%s", names[i]);
	}
	if (!plain->made || !plain->survived) {
		kit_skip("no child process", "its entry opens nothing and starts nothing");
		return;
	}
	kit_ok(plain->fds <= 0 && plain->threads <= 0 && plain->io <= 0,
	       "its entry opens nothing and starts nothing (%d descriptors, %d threads, %ld reads and writes)", plain->fds,
	       plain->threads, plain->io > 0 ? plain->io : 0);
}

void kit_abi(struct kit *k)
{
	image_points(k);
	table_points(k);
	probe_points(k);
}
