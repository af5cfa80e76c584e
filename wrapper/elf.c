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
struct relocation {
	uint64_t offset;
	uint32_t type, symbol;
	int64_t addend;
};
enum {
	TYPE_SYMTAB = 2, TYPE_RELA = 4, TYPE_NOBITS = 8, TYPE_REL = 9, TYPE_DYNSYM = 11, TYPE_RELR = 19,
	FLAG_EXECUTABLE = 4, MACHINE_X86_64 = 62, RELATIVE = 8,
};

static bool section_at(const unsigned char *image, size_t len, const struct header *h, size_t index, struct section *s)
{
	uint64_t at;

	if (index >= h->shnum || h->shentsize != sizeof *s || __builtin_add_overflow(h->shoff, index * sizeof *s, &at) ||
	    at > len || len - at < sizeof *s)
		return false;
	memcpy(s, image + at, sizeof *s);
	return s->type == TYPE_NOBITS || (s->offset <= len && s->size <= len - s->offset);
}

/* A table of names, which ends with the end of one. */
static bool strings_at(const unsigned char *image, size_t len, const struct header *h, size_t index, struct section *s)
{
	return section_at(image, len, h, index, s) && s->type != TYPE_NOBITS && s->size && !image[s->offset + s->size - 1];
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
			return strings_at(image, len, &h, table->link, linked);
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

/* ---- who refers to what ---- */

/* Addresses that lead to a symbol, and the functions that may do so. */
struct reach {
	const unsigned char *image;
	size_t len;
	struct header h;
	uint64_t to[32];
	struct range { uint64_t start, end; } but[64];
	size_t n_to, n_but;
	size_t n_functions;	/* so many of to[], before entries of the global offset table */
	bool lost;		/* found, or something can't be told */
};

static void add_to(struct reach *r, uint64_t address)
{
	if (r->n_to == sizeof r->to / sizeof *r->to)
		r->lost = true;
	else
		r->to[r->n_to++] = address;
}

static void add_functions(struct reach *r, const struct section *syms, const struct section *strs, const char *const *functions,
			  const char *const *but)
{
	for (uint64_t i = 0; i < syms->size / sizeof(struct symbol); i++) {
		struct symbol s;
		const char *name = symbol_at(r->image, syms, strs, i, &s);
		bool is = name && s.shndx && named(name, functions);

		if (is)
			add_to(r, s.value);
		/* A generic function of somebody's may have the name of a type of these in its own. */
		if (!is && (!name || !s.shndx || !strncmp(name, "_RI", 3) || !named(name, but)))
			continue;
		if (r->n_but < sizeof r->but / sizeof *r->but)
			r->but[r->n_but++] = (struct range){ s.value, s.value + s.size };
	}
}

/* The global offset table is only ever read word by word; in other data the address may be one of many that code goes through. */
static bool in_offset_table(const struct reach *r, uint64_t address)
{
	struct section names, s;

	if (!strings_at(r->image, r->len, &r->h, r->h.shstrndx, &names))
		return false;
	for (size_t i = 0; i < r->h.shnum && section_at(r->image, r->len, &r->h, i, &s); i++)
		if (s.addr && address >= s.addr && address - s.addr < s.size && s.name < names.size)
			return !strncmp((const char *)r->image + names.offset + s.name, ".got", 4);
	return false;
}

static void add_slots(struct reach *r, const struct section *rela, const char *const *imports)
{
	struct section syms, strs;
	bool any = section_at(r->image, r->len, &r->h, rela->link, &syms) && syms.type == TYPE_DYNSYM &&
		   strings_at(r->image, r->len, &r->h, syms.link, &strs);

	for (uint64_t i = 0; i < rela->size / sizeof(struct relocation) && !r->lost; i++) {
		struct relocation rel;
		struct symbol s;
		bool leads = false;

		memcpy(&rel, r->image + rela->offset + i * sizeof rel, sizeof rel);
		for (size_t j = 0; j < r->n_functions && rel.type == RELATIVE; j++)
			leads |= (uint64_t)rel.addend == r->to[j];
		if (rel.symbol && !leads) {
			const char *name = NULL;

			if (any && rel.symbol < syms.size / sizeof s)
				name = symbol_at(r->image, &syms, &strs, rel.symbol, &s);
			r->lost |= !name;
			leads = name && named(name, imports);
		}
		if (leads && !in_offset_table(r, rel.offset))
			r->lost = true;
		else if (leads)
			add_to(r, rel.offset);
	}
}

static bool may_refer(const struct reach *r, uint64_t at)
{
	for (size_t i = 0; i < r->n_but; i++)
		if (at >= r->but[i].start && at < r->but[i].end)
			return true;
	return false;
}

/* An address relative to the next instruction: behind "call" and "jmp", and behind a ModRM byte that says so, where the instruction
 * may have one to four bytes more. See Intel 64 Software Developer's Manual, volume 2, table 2-7. */
static bool leads_to_one(const struct reach *r, const unsigned char *code, uint64_t at)
{
	const bool operand = (code[-1] & 0xc7) == 5, jump = code[-1] == 0xe8 || code[-1] == 0xe9 || (code[-1] & 0xf0) == 0x80;
	int32_t distance;
	uint64_t to;

	if (!operand && !jump)
		return false;
	memcpy(&distance, code, sizeof distance);
	to = at + 4 + (uint64_t)(int64_t)distance;
	for (size_t i = 0; i < r->n_to; i++)
		if (r->to[i] == to || (operand && i >= r->n_functions && r->to[i] - to <= 4))
			return true;
	return false;
}

static bool section_refers(const struct reach *r, const struct section *s)
{
	for (uint64_t i = 1; i + 4 <= s->size; i++)
		if (leads_to_one(r, r->image + s->offset + i, s->addr + i) && !may_refer(r, s->addr + i))
			return true;
	return false;
}

bool kache_elf_refers(const void *data, size_t len, const char *const *functions, const char *const *imports,
		      const char *const *but)
{
	struct reach r = { .image = data, .len = len };
	struct section s, strs;

	if (!find_table(data, len, TYPE_SYMTAB, &s, &strs))
		return true;
	memcpy(&r.h, data, sizeof r.h);
	if (r.h.machine != MACHINE_X86_64)
		return true;
	add_functions(&r, &s, &strs, functions, but);
	r.n_functions = r.n_to;
	for (size_t i = 0; i < r.h.shnum && !r.lost; i++) {
		if (!section_at(data, len, &r.h, i, &s) || s.type == TYPE_REL || s.type == TYPE_RELR)
			return true;
		if (s.type == TYPE_RELA)
			add_slots(&r, &s, imports);
	}
	for (size_t i = 0; i < r.h.shnum && !r.lost; i++)
		r.lost |= section_at(data, len, &r.h, i, &s) && s.flags & FLAG_EXECUTABLE && s.type != TYPE_NOBITS &&
			  section_refers(&r, &s);
	return r.lost;
}
