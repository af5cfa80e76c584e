/* Files of the user's that commands read and write: of kache, and of cargo. */
#ifndef KACHE_CLI_USER_FILE_H
#define KACHE_CLI_USER_FILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <sys/types.h>

enum { KACHE_CARGO_CONFIG_MAX = 1 << 20 };	/* bytes */

/* KACHE_OK with the text, of `max` bytes at most. Anything else is said on standard error, but that there is no such file where
 * it need not exist, KACHE_E_NOENT. */
int kache_cli_read(const char *file, size_t max, bool must, struct kache_buf *text);
/* Writes it anew: through a symbolic link, so that the link stays, and with the mode that it has; with `mode` where it is new.
 * Returns an exit status, and says what went wrong. */
int kache_cli_replace(const char *file, const struct kache_buf *text, mode_t mode);

/* CARGO_HOME, else .cargo of the home directory (The Cargo Book, "Cargo Home"). Fresh memory; NULL where neither is known. */
char *kache_cargo_home(void);
/* The configuration file in dir, which cargo's home or a .cargo is: `config`, if there is one, wins over `config.toml`
 * (The Cargo Book, "Configuration"). Fresh memory. */
char *kache_cargo_config(const char *dir);

#endif
