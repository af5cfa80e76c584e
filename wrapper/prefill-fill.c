/* Putting a plan's units in place. Each is looked up in a process of its own as the call that cargo would make: the same arguments
 * and directory, this command's environment with what cargo changes in it. Only what leads to the entry of the plan counts, for
 * cargo's record of the unit was made of that one. Then the record is put beside the outputs, its hash last. Cargo looks at all of
 * it as at its own work and does what it thinks is missing. */
#include "config.h"
#include "wrapper/prefill.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "wrapper/call.h"
#include "wrapper/rustc.h"
#include "wrapper/script.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	MOST_WORKERS = 16,
	UNITS_PER_WORKER = 4,	/* for fewer no further process is started */
	SHORT_WAITS = 200,
	PAUSE_US = 50
};
enum state { WAITING, FAILED, DONE };

struct fill {
	const struct kache_command *command;
	const struct kache_plan *plan;
	const char *target;
	bool moved;			/* not where the plan was recorded */
	struct shared {
		atomic_size_t next;
		atomic_bool broken;	/* a process has ended without a word: nobody waits for it */
		atomic_char states[];
	} *shared;
};

static char *place(const struct fill *f, const char *text)
{
	return kache_plan_unpack(text, f->command->root, f->target);
}

static bool is_run(const struct kache_plan_unit *u)
{
	return kache_is_script(u->argv.v[0]);
}

static void place_all(const struct fill *f, const struct kache_strs *from, struct kache_strs *to)
{
	for (size_t i = 0; i < from->n; i++)
		kache_strs_take(to, place(f, from->v[i]));
}

/* ---- one unit ---- */

static void set_environment(const struct fill *f, const struct kache_plan_unit *u)
{
	for (size_t i = 0; i < u->unset.n; i++)
		unsetenv(u->unset.v[i]);
	for (size_t i = 0; i < u->set.n; i++)
		putenv(place(f, u->set.v[i]));	/* lives as long as the process */
}

static void out_of_memory(void)
{
	_exit(KACHE_NOT_PREFILLED);
}

/* out, err: where what it says goes, or -1 */
_Noreturn static void call(const struct fill *f, const struct kache_plan_unit *u, int out, int err)
{
	KACHE_AUTO_FREE char *cwd = place(f, u->cwd);
	struct kache_strs argv = { NULL, 0, 0 };

	kache_oom_handler = out_of_memory;
	kache_prefilling = &u->result;
	set_environment(f, u);
	place_all(f, &u->argv, &argv);
	if (chdir(cwd) || (out >= 0 && (dup2(out, 1) < 0 || dup2(err, 2) < 0)))
		_exit(KACHE_NOT_PREFILLED);
	kache_serve(is_run(u) ? &kache_language_script : &kache_language_rust, argv.v);
}

static bool hits(const struct fill *f, const struct kache_plan_unit *u, int out, int err)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		call(f, u, out, err);
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Cargo tells the compiler of a README, and where the manifest does not say which it is the first of these that is there
 * (cargo::util::toml, DEFAULT_README_FILES). Another name is the manifest's. */
static bool same_readme(const struct kache_plan_unit *u, const char *manifest)
{
	static const char *const names[] = { "README.md", "README.txt", "README", "" };
	static const char variable[] = "CARGO_PKG_README=";
	KACHE_AUTO_FREE char *dir = kache_path_dir(manifest);
	const char *then = NULL;
	bool by_itself = false;

	for (size_t i = 0; i < u->set.n && !then; i++)
		then = kache_starts(u->set.v[i], variable) ? u->set.v[i] + sizeof variable - 1 : NULL;
	for (size_t i = 0; i < 4 && then; i++)
		by_itself |= !strcmp(then, names[i]);
	for (size_t i = 0; i < 4 && by_itself; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names[i]);

		if (!*names[i] || !access(path, F_OK))
			return !strcmp(then, names[i]);
	}
	return then != NULL;
}

static bool same_manifest(const struct fill *f, const struct kache_plan_unit *u)
{
	KACHE_AUTO_FREE char *path = place(f, u->manifest);
	struct kache_hash now;

	return !kache_hash_file(path, &now, NULL) && kache_hash_eq(&now, &u->manifest_hash) &&
	       (kache_call_immutable(path) || same_readme(u, path));
}

/* The name by which cargo runs a build script. */
static void put_alias(const struct kache_plan_unit *u, const char *out_dir)
{
	KACHE_AUTO_FREE char *program = kache_path_join(out_dir, u->program);
	KACHE_AUTO_FREE char *alias = kache_path_join(out_dir, u->alias);

	if (*u->alias)
		(void)!link(program, alias);
}

/* The time of what cargo compares with sources, in ns: what is written from here on is newer, what was made up to `made` is not. */
static int64_t reference(const char *made)
{
	if (made)
		kache_wait_for_tick(made);
	return kache_now_coarse() - 1;
}

static bool set_time(int fd, int64_t ns)
{
	const struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	return !futimens(fd, (const struct timespec[2]){ t, t });
}

/* What cargo leaves of a script's run in the directory above OUT_DIR, which is empty (cargo::core::compiler::custom_build): what it
 * said, with a time that is neither before the script's nor after that of anything that is written from now on. */
static bool run_hits(const struct fill *f, const struct kache_plan_unit *u, const char *out_dir)
{
	const struct kache_plan_unit *compiled = u->n_needs ? &f->plan->units[u->needs[0]] : u;
	KACHE_AUTO_FREE char *dir = kache_path_dir(out_dir), *where = place(f, compiled->out_dir);
	KACHE_AUTO_FREE char *script = kache_path_join(where, compiled->program);
	KACHE_AUTO_FREE char *output = kache_path_join(dir, "output"), *errors = kache_path_join(dir, "stderr");
	KACHE_AUTO_FREE char *root = kache_path_join(dir, "root-output"), *began = kache_path_join(dir, "invoked.timestamp");
	KACHE_AUTO_FD int out = kache_open(output, O_WRONLY | O_CREAT | O_EXCL, 0666);
	KACHE_AUTO_FD int err = kache_open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	KACHE_AUTO_FD int time = kache_open(began, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	int64_t then;

	if (out < 0)
		return false;
	then = reference(script);
	if (err >= 0 && time >= 0 && hits(f, u, out, err) && !kache_file_replace(root, out_dir, strlen(out_dir), 0666) &&
	    set_time(time, then) && set_time(out, then))
		return true;
	/* Without the output nothing of this counts, and the script is to find what it would have found. */
	kache_script_remove_below(out_dir);
	unlink(output);
	return false;
}

static bool put_file(int dir, const struct kache_plan_file *file, int64_t then)
{
	KACHE_AUTO_FD int fd = openat(dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 || kache_write_all(fd, file->data, file->len))
		return false;
	return !kache_starts(file->name, "dep-") || set_time(fd, then);
}

static void put_record(const struct kache_plan_unit *u, const char *record, int64_t then)
{
	KACHE_AUTO_FD int dir = -1;
	bool good;

	if (mkdir(record, 0777))
		return;
	dir = open(record, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = dir >= 0;
	for (int seal = 0; seal < 2; seal++)
		for (size_t i = 0; i < u->n_files && good; i++)
			if (kache_plan_is_seal(&u->files[i]) == seal)
				good = put_file(dir, &u->files[i], then);
}

/* The last file of the run that the unit needs, if that left something that may be a source; or NULL. */
static char *run_output(const struct fill *f, const struct kache_plan_unit *u)
{
	for (size_t i = 0; i < u->n_needs; i++) {
		const struct kache_plan_unit *other = &f->plan->units[u->needs[i]];

		if (is_run(other)) {
			KACHE_AUTO_FREE char *out_dir = place(f, other->out_dir), *dir = kache_path_dir(out_dir);
			KACHE_AUTO_STRS struct kache_strs left = { NULL, 0, 0 };

			return !kache_dir_names(out_dir, &left) && left.n ? kache_path_join(dir, "root-output") : NULL;
		}
	}
	return NULL;
}

static void fill_unit(const struct fill *f, const struct kache_plan_unit *u, atomic_char *state)
{
	KACHE_AUTO_FREE char *record = place(f, u->record);
	KACHE_AUTO_FREE char *out_dir = place(f, u->out_dir);
	KACHE_AUTO_FREE char *generated = run_output(f, u);	/* after ready() */
	int64_t then;

	if (!access(record, F_OK)) {	/* cargo's own, or of another such process */
		atomic_store(state, DONE);
		return;
	}
	then = reference(generated);
	if ((u->here && f->moved) || !same_manifest(f, u) || kache_mkdirs(out_dir, 0777) ||
	    !(is_run(u) ? kache_script_is_empty(out_dir) && run_hits(f, u, out_dir) : hits(f, u, -1, -1))) {
		atomic_store(state, FAILED);
		return;
	}
	put_alias(u, out_dir);
	/* Who needs it needs the outputs. Without the record it and they are made once more. */
	atomic_store(state, DONE);
	put_record(u, record, then);
}

/* ---- all of them ---- */

/* Waits for those that it needs: they come earlier, so somebody is at work on them or has been. */
static bool ready(const struct fill *f, const struct kache_plan_unit *u)
{
	for (size_t i = 0; i < u->n_needs; i++) {
		const atomic_char *other = &f->shared->states[u->needs[i]];
		unsigned tries = 0;

		while (atomic_load(other) == WAITING && !atomic_load(&f->shared->broken)) {
			if (tries++ < SHORT_WAITS)
				sched_yield();
			else
				usleep(PAUSE_US);
		}
		if (atomic_load(other) != DONE)
			return false;
	}
	return true;
}

static void work(const struct fill *f)
{
	size_t i;

	while ((i = atomic_fetch_add(&f->shared->next, 1)) < f->plan->n) {
		const struct kache_plan_unit *u = &f->plan->units[i];

		if (ready(f, u))
			fill_unit(f, u, &f->shared->states[i]);
		else
			atomic_store(&f->shared->states[i], FAILED);
	}
}

static size_t workers(const struct kache_plan *p)
{
	size_t n = 1;
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof set, &set))
		n = (size_t)CPU_COUNT(&set);
	if (n > 1 + p->n / UNITS_PER_WORKER)
		n = 1 + p->n / UNITS_PER_WORKER;
	return n < MOST_WORKERS ? n : MOST_WORKERS;
}

static void work_together(const struct fill *f)
{
	size_t n = workers(f->plan), running = 0;
	int status;

	for (size_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid) {
			work(f);
			_exit(0);
		}
		running += pid > 0;
	}
	while (running && (waitpid(-1, &status, 0) > 0 || errno == EINTR)) {
		running--;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			atomic_store(&f->shared->broken, true);
	}
}

/* https://bford.info/cachedir/; cargo writes it where it makes the directory itself. */
static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
			  "# This file is a cache directory tag created by cargo.\n"
			  "# For information about cache directory tags see https://bford.info/cachedir/\n";

static bool make_target(const char *target)
{
	KACHE_AUTO_FREE char *file = kache_path_join(target, "CACHEDIR.TAG");

	if (!access(target, F_OK))
		return true;
	return !kache_mkdirs(target, 0777) && !kache_file_replace(file, tag, sizeof tag - 1, 0644);
}

/* Takes cargo's lock of each profile, as cargo does (cargo::core::compiler::layout). False where somebody builds there. */
static bool lock_profiles(const struct fill *f, struct kache_strs *done, int *locks, size_t most)
{
	for (size_t i = 0; i < f->plan->n; i++) {
		KACHE_AUTO_FREE char *record = place(f, f->plan->units[i].record), *records = kache_path_dir(record);
		KACHE_AUTO_FREE char *dir = kache_path_dir(records), *lock = kache_path_join(dir, ".cargo-lock");

		if (kache_strs_has(done, dir))
			continue;
		if (done->n == most || kache_mkdirs(records, 0777))
			return false;
		locks[done->n] = kache_open(lock, O_RDWR | O_CREAT, 0666);
		if (locks[done->n] < 0)
			return false;
		kache_strs_add(done, dir);
		if (flock(locks[done->n - 1], LOCK_EX | LOCK_NB))
			return false;
	}
	return true;
}

void kache_prefill_fill(const struct kache_command *c, const struct kache_plan *plan)
{
	enum { MOST_PROFILES = 8 };
	KACHE_AUTO_STRS struct kache_strs profiles = { NULL, 0, 0 };
	struct fill f = { .command = c, .plan = plan, .target = c->target ? c->target : plan->target };
	const size_t bytes = sizeof *f.shared + plan->n;
	int locks[MOST_PROFILES];
	void *shared;

	f.moved = strcmp(plan->root, c->root) || strcmp(plan->target, f.target);
	/* A target directory that only cargo knows: the same command finds the same one, elsewhere it may be another. */
	if (!plan->n || (!c->target && strcmp(plan->root, c->root)))
		return;
	shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return;
	f.shared = shared;
	if (make_target(f.target) && lock_profiles(&f, &profiles, locks, MOST_PROFILES))
		work_together(&f);
	for (size_t i = 0; i < profiles.n; i++)
		close(locks[i]);
	munmap(shared, bytes);
}
