/* URLs of remotes. What is shown of one does not have the password of its user part; what a query says is whole. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "remote/url.h"

#include <ctype.h>
#include <string.h>

bool fuzz_accepted;

/* The password, where the text has one that could be told from everything else in it. */
static char *password(const char *base)
{
	const char *from = strstr(base, "://"), *at, *colon;
	char *p;

	if (!from)
		return NULL;
	from += 3;
	at = strrchr(from, '@');
	colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
	if (!colon || at - colon < 6)
		return NULL;
	p = kache_strndup(colon + 1, (size_t)(at - colon - 1));
	/* What stands in the place of a password has stars. */
	if (strstr(at, p) || strstr(base, p) != colon + 1 || strchr(p, '*')) {
		free(p);
		return NULL;
	}
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = kache_strndup((const char *)data, size), *shown, *secret;
	struct kache_error err = { 0 };
	struct kache_url u;
	int rc = kache_url_parse(text, &u, &err);

	fuzz_accepted = !rc;
	FUZZ_CHECK(!rc || (err.text[0] && !u.scheme && !u.params));
	if (rc) {
		free(text);
		return 0;
	}
	FUZZ_CHECK(*u.scheme && strlen(u.base) <= strlen(text) && !strncmp(u.base, text, strlen(u.base)));
	FUZZ_CHECK(!strpbrk(u.base, "?#"));
	for (const char *p = u.scheme; *p; p++)
		FUZZ_CHECK(!isupper((unsigned char)*p));
	for (size_t i = 0; i < u.n_params; i++)
		FUZZ_CHECK(u.params[i].key && *u.params[i].key && u.params[i].value);
	shown = kache_url_show(&u);
	secret = password(u.base);
	FUZZ_CHECK(!secret || !strstr(shown, secret));
	free(secret);
	free(shown);
	kache_url_release(&u);
	free(text);
	return 0;
}
