#include "config.h"
#include "cli/daemon-ask.h"

#include "base/clock.h"
#include "base/path.h"

#include <stdlib.h>
#include <unistd.h>

char *kache_cli_daemon_program(void)
{
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe"), *dir = self ? kache_path_dir(self) : NULL;
	char *beside = dir ? kache_path_join(dir, "kache-daemon") : NULL;

	if (beside && !access(beside, X_OK))
		return beside;
	free(beside);
	return kache_path_real(KACHE_LIBEXECDIR "/kache-daemon");
}

char *kache_cli_wrapper(void)
{
	KACHE_AUTO_FREE char *program = kache_path_search("kache", NULL);

	return program ? kache_path_real(program) : NULL;
}

int kache_cli_daemon_open(const struct kache_conf *conf, bool start, struct kache_client *c, struct kache_error *err)
{
	static const char *files[3] = { KACHE_CONF_SYSTEM_FILE, NULL, NULL };
	struct kache_client_options o = {
		.root = kache_conf_str(conf, KACHE_CONF_CACHE_DIR), .program = kache_cli_daemon_program(), .files = files,
		.start = start,
	};
	bool named;

	if (start && !o.program)
		return kache_fail(err, KACHE_E_NOENT, "kache-daemon is not installed (looked in " KACHE_LIBEXECDIR ")");
	files[1] = kache_conf_user_file(&named);
	kache_client_init(c, &o);
	return KACHE_OK;
}

int kache_cli_daemon_ask(struct kache_client *c, uint16_t op, bool any, unsigned seconds, struct kache_buf *body,
			 struct kache_error *err)
{
	struct kache_wire_request r = { .op = op };
	int rc = kache_client_ask(c, &r, any, kache_now_mono() + (uint64_t)seconds * 1000000000, body, err);

	if (rc > 0)
		kache_fail(err, KACHE_E_INVALID, "the daemon answers '%s'", kache_wire_status_name(rc));
	return rc;
}
