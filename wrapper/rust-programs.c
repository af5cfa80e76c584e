/* The programs that a Rust compile started, and what of the environment they may have gone by. */
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

bool kache_rust_starts_others(const struct kache_collector *k)
{
	const struct kache_strs *execs = &k->run->seen.execs;

	for (size_t i = 0; i < execs->n; i++) {
		KACHE_AUTO_FREE char *real = kache_path_real(execs->v[i]);

		if (!is_cargo(execs->v[i]) && (!real || !is_cargo(real)))
			return true;
	}
	return false;
}

/* In a link, kache itself makes way for the next of its name, see cc.c. */
static bool asks(const struct kache_collector *k, const char *program)
{
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");

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

/* What time it is, asked by a program that a macro started, or by way of the calendar by any that is strange ("date"). */
static int check_clocks(struct kache_collector *k, bool strange)
{
	const struct kache_strs *clocks = &k->run->seen.clocks;
	const bool by_macro = kache_rust_macro_starts_others(k);

	if (strange && k->run->seen.calendar)
		return kache_collect_refuse(k, "time-of-day", NULL);
	for (size_t i = 0; i < clocks->n && by_macro; i++)
		if (!asks(k, clocks->v[i]) && !harmless_clock(clocks->v[i]))
			return kache_collect_refuse(k, "time-of-day", clocks->v[i]);
	return KACHE_OK;
}

int kache_rust_collect_programs(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;
	bool any = false, cargo = false;

	for (size_t i = 0; i < seen->programs.n; i++) {
		cargo |= is_cargo(seen->programs.v[i]);
		any |= !is_cargo(seen->programs.v[i]) && !asks(k, seen->programs.v[i]);
	}
	for (size_t i = 0; i < seen->execs.n; i++)
		any |= kache_collect_script(k, seen->execs.v[i]);
	if (check_clocks(k, any))
		return KACHE_E_INVALID;
	for (size_t i = 0; i < seen->searched.n; i++)
		if (kache_collect_now(k, KACHE_INPUT_PROGRAM, seen->searched.v[i]))
			return KACHE_E_INVALID;
	if (any)
		return kache_collect_environment(k, false);
	return cargo ? kache_collect_now(k, KACHE_INPUT_ENVIRON, "CARGO RUST __CARGO HOME") : KACHE_OK;
}
