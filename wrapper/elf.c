#include "config.h"
#include "wrapper/elf.h"

#include <stdint.h>
#include <string.h>

/* Layout: System V ABI, chapters 4 and 5, and the ELF-64 object file format. */
struct header {
	unsigned char ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct section {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t addralign, entsize;
};
struct symbol {
	uint32_t name;
	unsigned char info, other;
	uint16_t shndx;
	uint64_t value, size;
};
enum { TYPE_SYMTAB = 2, TYPE_NOBITS = 8, TYPE_DYNSYM = 11 };

static bool section_at(const unsigned char *image, size_t len, const struct header *h, size_t index, struct section *s)
{
	uint64_t at;

	if (index >= h->shnum || h->shentsize != sizeof *s || __builtin_add_overflow(h->shoff, index * sizeof *s, &at) ||
	    at > len || len - at < sizeof *s)
		return false;
	memcpy(s, image + at, sizeof *s);
	return s->type == TYPE_NOBITS || (s->offset <= len && s->size <= len - s->offset);
}

static bool named(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (strstr(name, *words))
			return true;
	return false;
}

/* The first section of a type, and the one that it links to. */
static bool find_table(const unsigned char *image, size_t len, uint32_t type, struct section *table, struct section *linked)
{
	struct header h;

	if (len < sizeof h || memcmp(image, "\177ELF\2\1", 6))
		return false;
	memcpy(&h, image, sizeof h);
	for (size_t i = 0; i < h.shnum; i++) {
		if (!section_at(image, len, &h, i, table))
			return false;
		if (table->type == type)
			return section_at(image, len, &h, table->link, linked) && linked->type != TYPE_NOBITS && linked->size &&
			       !image[linked->offset + linked->size - 1];
	}
	return false;
}

/* The n-th symbol of a table; its name, or NULL where that is none. */
static const char *symbol_at(const unsigned char *image, const struct section *syms, const struct section *strs, uint64_t n,
			     struct symbol *s)
{
	memcpy(s, image + syms->offset + n * sizeof *s, sizeof *s);
	return s->name < strs->size ? (const char *)image + strs->offset + s->name : NULL;
}

bool kache_elf_imports(const void *data, size_t len, const char *const *words)
{
	const unsigned char *image = data;
	struct section syms, strs;

	if (!find_table(image, len, TYPE_DYNSYM, &syms, &strs))
		return true;
	for (uint64_t i = 0; i < syms.size / sizeof(struct symbol); i++) {
		struct symbol s;
		const char *name = symbol_at(image, &syms, &strs, i, &s);

		if (s.shndx == 0 && (!name || named(name, words)))
			return true;
	}
	return false;
}

bool kache_elf_symbols(const void *data, size_t len, void (*each)(const char *name, void *arg), void *arg)
{
	const unsigned char *image = data;
	struct section syms, strs;

	if (!find_table(image, len, TYPE_SYMTAB, &syms, &strs))
		return false;
	for (uint64_t i = 0; i < syms.size / sizeof(struct symbol); i++) {
		struct symbol s;
		const char *name = symbol_at(image, &syms, &strs, i, &s);

		if (!name)
			return false;
		each(name, arg);
	}
	return true;
}
