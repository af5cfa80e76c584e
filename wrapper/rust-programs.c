/* The programs that a Rust compile started: what of the environment they may have gone by, and what they may have told a macro. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"

#include <string.h>

/* It takes a copy of the environment, in which it looks for its own settings. */
static bool is_cargo(const char *program)
{
	const char *base = kache_path_base(program);

	return !strcmp(base, "cargo") || !strcmp(base, "rustup");
}

/* Whether anything but cargo was. */
static bool starts_others(const struct kache_collector *k)
{
	const struct kache_strs *execs = &k->run->seen.execs;

	for (size_t i = 0; i < execs->n; i++) {
		KACHE_AUTO_FREE char *real = kache_path_real(execs->v[i]);

		if (!is_cargo(execs->v[i]) && (!real || !is_cargo(real)))
			return true;
	}
	return false;
}

/* In a link, kache itself (self) makes way for the next of its name, see cc.c. */
static bool asks(const struct kache_collector *k, const char *self, const char *program)
{
	return kache_collect_tool(program) || !strcmp(program, k->c->compiler.program) || (self && !strcmp(self, program));
}

/* These ask what time it is for themselves; what a shell makes of it goes through the calendar (printf %(…)T). */
static bool harmless_clock(const char *program)
{
	static const char *const names[] = { "sh", "dash", "bash", "busybox", "git" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(kache_path_base(program), names[i]))
			return true;
	return is_cargo(program);
}

/* What a macro may have been told by a program that it started: where it is, and what time it is. Cargo names what its own
 * variables name. */
static int add_told(struct kache_collector *k, const char *self)
{
	const struct kache_strs *clocks = &k->run->seen.clocks;

	for (size_t i = 0; i < clocks->n; i++)
		if (!asks(k, self, clocks->v[i]) && !harmless_clock(clocks->v[i]))
			return kache_collect_refuse(k, "time-of-day", clocks->v[i]);
	k->by_content = true;
	return kache_collect_places(k, NULL);
}

int kache_rust_collect_programs(struct kache_collector *k)
{
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");
	const struct kache_observed *seen = &k->run->seen;
	bool strange = false, cargo = false;

	for (size_t i = 0; i < seen->programs.n; i++)
		if (is_cargo(seen->programs.v[i]))
			cargo = true;
		else
			strange |= !asks(k, self, seen->programs.v[i]);
	for (size_t i = 0; i < seen->execs.n; i++)
		strange |= kache_collect_script(k, seen->execs.v[i], NULL);
	if (strange && seen->calendar)		/* "date" */
		return kache_collect_refuse(k, "time-of-day", NULL);
	if (starts_others(k) && kache_rust_macro_may_start(k) && add_told(k, self))
		return KACHE_E_INVALID;
	for (size_t i = 0; i < seen->searched.n; i++)
		if (kache_collect_now(k, KACHE_INPUT_PROGRAM, seen->searched.v[i]))
			return KACHE_E_INVALID;
	if (strange)
		return kache_collect_environment(k, false);
	return cargo ? kache_collect_now(k, KACHE_INPUT_ENVIRON, "CARGO RUST __CARGO HOME") : KACHE_OK;
}
