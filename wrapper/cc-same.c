/* Headers of the same content. With #pragma once and #import clang takes one for another where they are the same file, gcc where
 * both were last changed in the same second (libcpp/files.cc, check_file_against_entries). So which are the same is an input. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "wrapper/collect.h"

#include <stdlib.h>
#include <string.h>

enum { SAME_MOST = 64 };

static int by_content(const void *a, const void *b)
{
	const struct kache_input *x = a, *y = b;
	int order = memcmp(x->hash.b, y->hash.b, KACHE_HASH_LEN);

	return order ? order : (x->name > y->name) - (x->name < y->name);
}

/* Whether a file may ask to be taken once; what does not is taken each time. */
static bool asks(const struct kache_collector *k, const char *name)
{
	KACHE_AUTO_FREE char *path = kache_tokens_expand(&k->c->tokens, name);
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	return !path || kache_file_read(path, (size_t)1 << 30, &text) || !text.data || memmem(text.data, text.len, "once", 4) ||
	       memmem(text.data, text.len, "import", 6);
}

/* in[0..n): files with equal content. */
static int add_group(struct kache_collector *k, const struct kache_input *in, size_t n)
{
	const bool cuda = k->c->driver == &kache_cc_nvcc;	/* whose own front end is not documented */
	const bool clang = !strcmp(k->c->compiler.family, "clang");
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	KACHE_AUTO_BUF struct kache_buf all = KACHE_BUF_INIT;

	if (!asks(k, k->m->names[in[0].name]))
		return KACHE_OK;
	if (n > SAME_MOST)
		return kache_collect_refuse(k, "same-headers", k->m->names[in[0].name]);
	for (size_t i = 0; i < n; i++)
		kache_strs_add(&names, k->m->names[in[i].name]);
	kache_strs_sort(&names);
	for (size_t i = 0; i < n; i++) {
		kache_buf_str(&all, i ? "//" : "");
		kache_buf_str(&all, names.v[i]);
	}
	if ((clang || cuda) && kache_collect_now(k, KACHE_INPUT_SAME_FILE, all.data))
		return KACHE_E_INVALID;
	return clang && !cuda ? KACHE_OK : kache_collect_now(k, KACHE_INPUT_SAME_TIME, all.data);
}

int kache_cc_collect_same(struct kache_collector *k)
{
	KACHE_AUTO_FREE struct kache_input *files = kache_calloc(k->set.n + 1, sizeof *files);
	size_t n = 0;

	for (size_t i = 0; i < k->set.n; i++)
		if (k->set.inputs[i].kind == KACHE_INPUT_FILE)
			files[n++] = k->set.inputs[i];
	qsort(files, n, sizeof *files, by_content);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && kache_hash_eq(&files[i].hash, &files[end].hash); end++)
			;
		if (end - i > 1 && add_group(k, files + i, end - i))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}
