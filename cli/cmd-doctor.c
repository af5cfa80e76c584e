/* kache doctor: is everything wired and sound, and if not, what to do. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/doctor.h"

#include "base/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(int argc, char **argv);
const struct kache_command kache_cmd_doctor = {
	"doctor", "check the set-up and the store",
	"usage: kache doctor [--verify] [--checksums] [--repair] [--json]\n"
	"\n"
	"  --verify     check every entry, blob and manifest of the store\n"
	"  --checksums  and read every blob and compare it with its hash\n"
	"  --repair     and remove what is damaged, so that it is compiled again\n"
	"  --json       one JSON object\n",
	run
};

void kache_doctor_say(struct kache_doctor *d, enum kache_doctor_level level, const char *name, const char *advice,
		      const char *fmt, ...)
{
	struct kache_buf text = KACHE_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	kache_buf_vfmt(&text, fmt, ap);
	va_end(ap);
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 32;
		d->v = kache_realloc(d->v, d->cap, sizeof *d->v);
	}
	d->v[d->n++] = (struct kache_finding){
		.level = level, .name = name, .text = kache_buf_steal(&text), .advice = advice ? kache_strdup(advice) : NULL,
	};
}

static void configuration(struct kache_doctor *d)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);
	struct kache_error err;

	if (kache_conf_load(cwd ? cwd : "/", &d->conf, &err))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "configuration", "until then builds run uncached", "%s", err.text);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "configuration", NULL, "loads");
}

static const char *const level_names[] = { "ok", "note", "problem" };

static void print_text(const struct kache_doctor *d, struct kache_buf *out)
{
	static const char *const marks[] = { "ok", "--", "!!" };

	for (size_t i = 0; i < d->n; i++) {
		const struct kache_finding *f = &d->v[i];

		kache_buf_fmt(out, "%s  %-16s %s%s%s\n", marks[f->level], f->name, f->text, f->advice ? ": " : "",
			      f->advice ? f->advice : "");
	}
}

static void print_json(const struct kache_doctor *d, bool good, struct kache_buf *out)
{
	struct kache_json j = { .out = out };

	kache_json_open(&j, NULL, '{');
	kache_json_bool(&j, "ok", good);
	kache_json_open(&j, "checks", '[');
	for (size_t i = 0; i < d->n; i++) {
		kache_json_open(&j, NULL, '{');
		kache_json_str(&j, "name", d->v[i].name);
		kache_json_str(&j, "level", level_names[d->v[i].level]);
		kache_json_str(&j, "text", d->v[i].text);
		kache_json_str(&j, "advice", d->v[i].advice);
		kache_json_close(&j, '}');
	}
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static bool good(const struct kache_doctor *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].level == KACHE_DOCTOR_BAD)
			return false;
	return true;
}

static void release(struct kache_doctor *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].text);
		free(d->v[i].advice);
	}
	free(d->v);
	kache_store_close(d->store);
	if (d->conf)
		kache_conf_free(d->conf);
}

static int examine(struct kache_doctor *d, bool json)
{
	static void (*const checks[])(struct kache_doctor *) = {
		configuration, kache_doctor_directory, kache_doctor_filesystem, kache_doctor_space, kache_doctor_map,
		kache_doctor_wrapper, kache_doctor_tools, kache_doctor_observer, kache_doctor_backends, kache_doctor_clock,
		kache_doctor_remote, kache_doctor_contents, kache_doctor_index,
	};
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	int rc;

	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
		checks[i](d);
	if (json)
		print_json(d, good(d), &out);
	else
		print_text(d, &out);
	rc = kache_cli_print(&out);
	return rc || good(d) ? rc : KACHE_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct kache_doctor d = { .conf = NULL };
	bool json = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--verify"))
			d.verify = true;
		else if (!strcmp(argv[i], "--checksums"))
			d.verify = d.checksums = true;
		else if (!strcmp(argv[i], "--repair"))
			d.verify = d.repair = true;
		else
			return kache_cli_usage(&kache_cmd_doctor, "unknown argument %s", argv[i]);
	}
	rc = examine(&d, json);
	release(&d);
	return rc;
}
