/* Commands that talk to the daemon. */
#ifndef KACHE_CLI_DAEMON_ASK_H
#define KACHE_CLI_DAEMON_ASK_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "daemon/client.h"

#include <stdbool.h>

/* Path of the program kache-daemon that belongs to this kache; fresh memory, NULL if it is missing. */
char *kache_cli_daemon_program(void);
/* The daemon of the configured cache directory; starts one where `start` is set. c and what it refers to live until
 * the end of the process. */
int kache_cli_daemon_open(const struct kache_conf *conf, bool start, struct kache_client *c, struct kache_error *err);
/* A question without key. Status as of kache_client_ask. */
int kache_cli_daemon_ask(struct kache_client *c, uint16_t op, bool any, unsigned seconds, struct kache_buf *body,
			 struct kache_error *err);

/* Path of kache itself: kache-cli lies in libexec, so it is the program of that name in PATH. Fresh memory or NULL. */
char *kache_cli_wrapper(void);
/* The service (daemon-service.c): a systemd user unit, or a launchd agent on macOS. `program` is kache itself.
 * Exit statuses. */
int kache_cli_service_install(const char *program, const struct kache_conf *conf);
int kache_cli_service_uninstall(void);
/* Whether its file is there, just as install would write it. program may be NULL. */
bool kache_cli_service_is(const char *program, const struct kache_conf *conf);

#endif
