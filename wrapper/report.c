#include "config.h"
#include "wrapper/report.h"

#include "base/file.h"
#include "base/path.h"
#include "observe/observe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_MAX = 256 << 20 };

static char *log_path;		/* NULL: nobody wants to know */
static struct kache_buf records;

static void record(char type, const char *text)
{
	kache_buf_ch(&records, type);
	kache_buf_add(&records, text, strlen(text) + 1);
}

void kache_report_begin(void)
{
	KACHE_AUTO_FREE char *self = NULL;
	const char *log = kache_env(KACHE_OBSERVE_ENV);

	if (!*log || !*kache_env(KACHE_REPORT_ENV))
		return;
	log_path = kache_strdup(log);
	unsetenv(KACHE_OBSERVE_ENV);
	unsetenv(KACHE_REPORT_ENV);
	self = kache_path_real("/proc/self/exe");
	record('B', self ? self : "/");
	record('V', "kache");
}

/* What the compiler is known by. One that was found by a name alone may be another tomorrow. */
static void add_compiler(struct kache_call *c)
{
	KACHE_AUTO_STRS struct kache_strs watched = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *found = kache_path_search(c->argv[0], NULL);

	if (!strchr(c->argv[0], '/'))
		record('x', c->argv[0]);
	/* Which toolchain rustup's proxy takes depends on more than files. */
	if (!found || !c->compiler.program || strcmp(found, c->compiler.program))
		record('!', "a compiler that is chosen by another program");
	if (c->compiler.program && c->compiler.program[0] == '/') {
		record('X', c->compiler.program);
		record('B', c->compiler.program);
		record('R', c->compiler.program);
	}
	kache_call_compiler_files(c, &watched);
	for (size_t i = 0; i < watched.n; i++)
		record('R', watched.v[i]);
	for (size_t i = 0; i < c->compiler.files.n; i++)
		record('R', c->compiler.files.v[i]);
}

static char type_of(uint32_t kind)
{
	switch (kind) {
	case KACHE_INPUT_FILE: return 'R';
	case KACHE_INPUT_ABSENT: return 'A';
	case KACHE_INPUT_LIST: return 'L';
	case KACHE_INPUT_PRESENT:
	case KACHE_INPUT_REAL: return 'P';
	case KACHE_INPUT_LINK: return 'S';
	default: return '!';
	}
}

static void add_input(struct kache_call *c, uint32_t kind, const char *name)
{
	KACHE_AUTO_FREE char *path = NULL;

	switch (kind) {
	case KACHE_INPUT_ENV:
	case KACHE_INPUT_ENV_TOKEN:
		record('E', name);
		return;
	case KACHE_INPUT_ENVIRON:
	case KACHE_INPUT_ENVIRON_TOKEN:
		return;		/* V says it */
	case KACHE_INPUT_PROGRAM:
		path = kache_path_search(name, NULL);
		if (path && path[0] == '/') {
			record('x', name);
			record('X', path);
			record('B', path);
			record('R', path);
			return;
		}
		break;
	default:
		path = kache_tokens_expand(&c->tokens, name);
		if (path && path[0] == '/' && type_of(kind) != '!') {
			record(type_of(kind), path);
			return;
		}
	}
	record('!', "an input of a compile that is no file");
}

void kache_report_inputs(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set)
{
	if (!log_path)
		return;
	add_compiler(c);
	for (size_t i = 0; i < set->n; i++)
		add_input(c, set->inputs[i].kind, m->names[set->inputs[i].name]);
}

void kache_report_output(const char *path)
{
	KACHE_AUTO_FREE char *cwd = log_path ? getcwd(NULL, 0) : NULL;
	KACHE_AUTO_FREE char *full = cwd ? kache_path_absolute(cwd, path) : NULL;

	if (full)
		record('W', full);
}

void kache_report_run(struct kache_call *c, const char *log)
{
	if (!log_path)
		return;
	add_compiler(c);
	if (c->query)	/* asks for nothing but the compiler */
		return;
	if (!log || kache_file_read(log, LOG_MAX, &records))
		record('!', "a compile that was not observed");
}

void kache_report_append(const char *log, const struct kache_buf *text)
{
	KACHE_AUTO_FD int fd = kache_open(log, O_WRONLY | O_APPEND, 0);

	if (fd < 0 || kache_write_all(fd, text->data, text->len))
		unlink(log);
}

void kache_report_end(void)
{
	if (!log_path)
		return;
	kache_report_append(log_path, &records);
	kache_buf_release(&records);
}

void kache_report_hand_on(const char *program)
{
	KACHE_AUTO_FREE char *path = NULL;

	if (!log_path)
		return;
	path = kache_path_search(program, NULL);
	if (!strchr(program, '/'))
		record('x', program);
	if (path && path[0] == '/')
		record('X', path);
	else
		record('!', "a program of unknown place");
	kache_report_end();
	setenv(KACHE_OBSERVE_ENV, log_path, 1);
	setenv(KACHE_REPORT_ENV, "1", 1);
	free(log_path);
	log_path = NULL;
}
