/* Each layer of a remote by itself, above a scripted backend. */
#include "config.h"

#include "layers-fake.h"

/* ---- several threads ---- */

struct thread {
	pthread_t id;
	struct kache_remote *r;
	const char *key;
	bool put;
	int rc;
};

static void *thread_main(void *arg)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = KB_PUT_IF_ABSENT };
	struct kache_buf b = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	struct kache_mem_source src;
	struct kache_call own;
	struct thread *t = arg;

	kache_call_init(&own, kache_now_mono() + 5000000000u, -1);
	kache_mem_sink_init(&sink, &b, 1 << 20);
	kache_mem_source_init(&src, "data", 4);
	t->rc = t->put ? kache_remote_put(t->r, key_of(t->key), &src.kb, &opts, &own)
		       : kache_remote_get(t->r, key_of(t->key), &sink.kb, &own);
	kache_buf_release(&b);
	return NULL;
}

static unsigned together(struct kache_remote *r, const char *key, bool put, unsigned n, int rc)
{
	struct thread t[16];
	unsigned same = 0;

	for (unsigned i = 0; i < n; i++) {
		t[i] = (struct thread){ .r = r, .key = key, .put = put };
		pthread_create(&t[i].id, NULL, thread_main, &t[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(t[i].id, NULL);
		same += t[i].rc == rc;
	}
	return same;
}

/* ---- breaker ---- */

static struct kache_health health;

static struct kache_remote *with_breaker(struct kache_remote *next)
{
	health = (struct kache_health){ .lock = PTHREAD_MUTEX_INITIALIZER, .clock = test_clock };
	return kache_layer_breaker(next, &health, "test:");
}

static struct kache_remote *under_test;

static void ask_meanwhile(void)
{
	struct kache_call saved = call;

	ask(under_test, "k");
	call = saved;
}

/* Who finds out, and what that says. */
static void breaker_trials(void)
{
	struct kache_remote *r = with_breaker(BACKEND(KB_E_AUTH, KB_E_TIMEOUT, KB_MISS));

	give(r, "a", "x", 1, 0);
	ask(r, "k");
	pass(8);
	ok(give(r, "a", "x", 1, 0) < 0 && fake.calls == 2, "a write that is stopped is no trial of the remote");
	ok(ask(r, "k") == KB_MISS && health.state == KACHE_HEALTH_OK, "and does not keep others from trying");
	kache_remote_close(r);

	r = under_test = with_breaker(BACKEND(KB_E_TIMEOUT, KB_E_TRANSIENT));
	ask(r, "k");
	pass(8);
	fake.meanwhile = ask_meanwhile;
	ask(r, "k");
	ok(fake.calls == 2, "while one tries the others do not");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TIMEOUT, KB_E_UNSUPPORTED, KB_E_LOCAL, KB_E_CANCELLED, KB_OK));
	ask(r, "k");
	pass(8);
	for (int i = 0; i < 3; i++)
		ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP && fake.calls == 4, "what never reached it does not end an outage, nor prolong it");
	ok(give(r, "a", "x", 1, 0) == KB_OK && health.state == KACHE_HEALTH_OK, "a write does");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_AUTH, KB_E_AUTH, KB_OK));
	give(r, "a", "x", 1, 0);
	ask(r, "k");
	pass(400);
	ok(health.state == KACHE_HEALTH_DISABLED && give(r, "a", "x", 1, 0) == KB_OK, "both stopped: both come back by one write that is accepted");
	ok(health.state == KACHE_HEALTH_OK && !health.writes_disabled, "at once");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_NOSPACE, KB_E_NOSPACE));
	give(r, "a", "x", 1, 0);
	pass(400);
	give(r, "b", "x", 1, 0);
	ok(give(r, "c", "x", 1, 0) == KB_E_TRANSIENT && fake.calls == 2, "a full server is tried by one write after the pause");
	ok(strstr(call.err.text, "scripted no space") != NULL, "and the text is that of the write: %s", call.err.text);
	health.patient = true;
	ok(give(r, "c", "x", 1, 0) == KB_E_NOSPACE && fake.calls == 2, "a patient caller is told that waiting is in vain");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_CONFIG));
	ask(r, "k");
	ok(ask(r, "k") == KB_E_TRANSIENT, "what is disabled is left alone");
	health.patient = true;
	ok(ask(r, "k") == KB_E_CONFIG && fake.calls == 1, "and a patient caller is told so");
	kache_remote_close(r);
}

/* Calls that were under way already, or that failed for want of a turn. */
static void breaker_bystanders(void)
{
	struct kache_remote *r = under_test = with_breaker(BACKEND(KB_E_TRANSIENT, KB_E_TIMEOUT, KB_MISS));

	fake.meanwhile = ask_meanwhile;
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP, "one call fails during another");
	pass(8);
	ok(ask(r, "k") == KB_MISS, "which fails then too, and makes the pause no longer");
	kache_remote_close(r);

	r = under_test = with_breaker(BACKEND(KB_MISS, KB_E_BUG));
	fake.meanwhile = ask_meanwhile;
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_DISABLED, "a call that went well before does not clear a backend that is faulty");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TIMEOUT, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED));
	fake.unasked = true;
	for (int i = 0; i < 6; i++)
		ask(r, "k");
	ok(fake.calls == 6 && health.state == KACHE_HEALTH_OK, "waiting in vain for our own turn is not held against the remote");
	kache_remote_close(r);
}

static uint64_t hurried_clock(void)
{
	return kache_now_mono() * 25;	/* five seconds are two hundred milliseconds: eight threads are there by then, also under valgrind */
}

/* Who has a lot to move. */
static void breaker_patience(void)
{
	struct kache_remote *r = with_breaker(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT));

	health.clock = hurried_clock;
	health.patient = true;
	ok(ask(r, "k") == KB_MISS && fake.calls == 6 && health.outages == 1, "a patient call waits for the end of an outage");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT));
	health.clock = hurried_clock;
	health.patient = true;
	ok(together(r, "k", false, 8, KB_MISS) == 8, "so do those that find it under way");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TIMEOUT, KB_E_TIMEOUT));
	health.clock = hurried_clock;
	health.patient = true;
	ask(r, "k");
	ok(together(r, "k", false, 8, KB_E_TRANSIENT) == 7 && fake.calls == 2, "but not when the first trial was in vain");
	kache_remote_close(r);
	r = with_breaker(BACKEND(KB_E_TIMEOUT));
	health.patient = true;
	ask(r, "k");
	fresh_call(60);
	ok(kache_remote_del(r, key_of("k"), &call) == KB_E_TIMEOUT && call.unasked && fake.calls == 1, "no longer than they have time");
	kache_remote_close(r);
}

/* What is answered without the remote. */
static void breaker_above_negative(void)
{
	struct kache_remote *r = with_breaker(kache_layer_negative(BACKEND(KB_MISS, KB_E_TIMEOUT, KB_E_TIMEOUT), 60000, test_clock));

	ask(r, "absent");
	ask(r, "k");
	pass(8);
	ok(ask(r, "absent") == KB_MISS && fake.calls == 2 && health.state == KACHE_HEALTH_GIVEN_UP, "what is remembered ends no outage");
	ok(ask(r, "k") == KB_E_TIMEOUT && fake.calls == 3, "the next call still finds out");
	kache_remote_close(r);
}

static void breaker(void)
{
	struct kache_remote *r = with_breaker(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_MISS, KB_E_TRANSIENT,
						      KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT));

	for (int i = 0; i < 5; i++)
		ask(r, "k");
	ok(health.state == KACHE_HEALTH_OK, "four failures and an answer leave the breaker closed");
	for (int i = 0; i < 5; i++)
		ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP && health.outages == 1, "five in a row open it");
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 10, "then nothing reaches the backend");
	ok(strstr(call.err.text, "left alone for") && strstr(call.err.text, "scripted transient"), "and the text says why: %s", call.err.text);
	pass(8);
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 11, "after the pause one call tries");
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 11, "it failed: closed again");
	pass(8);
	ask(r, "k");
	ok(fake.calls == 11, "for longer this time");
	pass(10);
	ok(ask(r, "k") == KB_MISS && health.state == KACHE_HEALTH_OK, "an answer ends the outage");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TIMEOUT));
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP, "one look-up that took all its time is enough");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED));
	fake.retry_after_ms = 60000;
	for (int i = 0; i < 5; i++)
		ask(r, "k");
	ok(fake.calls == 1, "a server that says when, and that is too late for this call, is left alone at once");
	pass(40);
	ask(r, "k");
	ok(fake.calls == 1, "until then");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_OK, KB_E_AUTH));
	give(r, "a", "x", 1, 0);
	give(r, "b", "x", 1, 0);
	ok(health.writes_disabled && health.state == KACHE_HEALTH_OK, "a refused write stops writes");
	ok(give(r, "c", "x", 1, 0) < 0 && fake.calls == 2, "which reach the backend no more");
	ok(ask(r, "a") == KB_OK, "while reads go on");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_AUTH));
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_DISABLED, "refused credentials stop everything");
	pass(400);
	ok(ask(r, "k") == KB_MISS && health.state == KACHE_HEALTH_OK, "until somebody may have mended them");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TOOBIG, KB_E_CORRUPT, KB_E_LOCAL, KB_E_CANCELLED, KB_E_TOOBIG, KB_E_LOCAL));
	for (int i = 0; i < 6; i++)
		give(r, "k", "x", 1, 0);
	ok(health.state == KACHE_HEALTH_OK, "what is not the remote's fault does not count");
	kache_remote_close(r);
	breaker_trials();
	breaker_bystanders();
	breaker_above_negative();
	breaker_patience();
}

/* ---- negative ---- */

static void put_meanwhile(void)
{
	struct kache_call saved = call;

	fake.n_script = 0;	/* the look-up has its answer already */
	give(under_test, "k", "data", 4, 0);
	call = saved;
}

/* Against changes of our own. */
static void negative_changes(void)
{
	struct kache_remote *r = under_test = kache_layer_negative(BACKEND(KB_MISS), 60000, test_clock);

	fake.meanwhile = put_meanwhile;
	ok(ask(r, "k") == KB_MISS, "a look-up overtaken by a put finds nothing");
	ok(ask(r, "k") == KB_OK, "but that is not remembered");
	kache_remote_close(r);

	r = kache_layer_negative(BACKEND(KB_E_CORRUPT, KB_EXISTS), 60000, test_clock);
	ask(r, "bad");
	give(r, "bad", "data", 4, KB_PUT_IF_ABSENT);
	ok(ask(r, "bad") == KB_MISS && fake.calls == 2, "what is damaged and can't be replaced stays blocked");
	kache_remote_del(r, key_of("bad"), &call);
	give(r->next, "bad", "data", 4, 0);
	ok(ask(r, "bad") == KB_OK, "until it is deleted");
	kache_remote_close(r);

	r = kache_layer_negative(BACKEND(KB_MISS, KB_E_TIMEOUT, KB_MISS, KB_E_AUTH), 60000, test_clock);
	ask(r, "k");
	give(r, "k", "data", 4, 0);
	ask(r, "k");
	ok(fake.calls == 3, "a put without an answer may have arrived: asked again");
	give(r, "k", "data", 4, 0);
	ask(r, "k");
	ok(fake.calls == 4, "one that was refused has not");
	kache_remote_close(r);
}

static void negative(void)
{
	struct kache_remote *r = kache_layer_negative(backend(NULL, 0), 60000, test_clock);
	struct kb_stat st;

	ask(r, "k");
	ok(ask(r, "k") == KB_MISS && fake.calls == 1, "a miss is remembered");
	ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_MISS && fake.calls == 1, "for head too");
	ok(ask(r, "other") == KB_MISS && fake.calls == 2, "by its name");
	give(r, "k", "data", 4, 0);
	ok(ask(r, "k") == KB_OK && got.len == 4, "a put of our own ends it");
	ask(r, "late");
	give(r->next, "late", "data", 4, 0);
	ok(ask(r, "late") == KB_MISS, "what others put is not seen at once");
	pass(61);
	ok(ask(r, "late") == KB_OK, "but after a minute");
	kache_remote_close(r);

	r = kache_layer_negative(BACKEND(KB_E_CORRUPT, KB_E_TRANSIENT), 60000, test_clock);
	ask(r, "bad");
	pass(1800);
	ok(ask(r, "bad") == KB_MISS && fake.calls == 1, "a damaged object is left alone for an hour");
	pass(1900);
	ok(ask(r, "bad") == KB_E_TRANSIENT, "not longer");
	ok(ask(r, "bad") == KB_MISS && fake.calls == 3, "an error is not remembered");
	kache_remote_close(r);

	r = kache_layer_negative(backend(NULL, 0), 0, test_clock);
	ask(r, "k");
	ask(r, "k");
	ok(fake.calls == 2, "a time of zero remembers nothing");
	kache_remote_close(r);
	negative_changes();
}

/* ---- coalesce and limit ---- */

static void coalesce(void)
{
	struct kache_remote *r = kache_layer_coalesce(backend(NULL, 0));

	fake.hold_ms = 100;
	ok(together(r, "k", false, 8, KB_MISS) == 8 && fake.calls < 8, "threads that want the same absent object ask once (%u)", fake.calls);
	fake.calls = 0;
	ok(together(r, "k", true, 8, KB_EXISTS) >= 1 && fake.calls < 8, "of those that store the same most have nothing to do");
	fake.hold_ms = 0;
	ok(together(r, "k", false, 8, KB_OK) == 8, "all that want an object get it");
	kache_remote_close(r);
	r = kache_layer_coalesce(BACKEND(KB_E_TIMEOUT, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS));
	fake.hold_ms = 50;
	ok(together(r, "k", false, 8, KB_MISS) >= 1, "one thread's lack of time is not the others' answer");
	kache_remote_close(r);
	r = with_breaker(kache_layer_coalesce(BACKEND(KB_E_TRANSIENT, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS)));
	fake.hold_ms = 100;
	together(r, "k", false, 8, KB_E_TRANSIENT);
	ok(health.state == KACHE_HEALTH_OK, "one failure that many share counts once");
	kache_remote_close(r);
}

static void limit_fairness(void)
{
	static const char *const keys[] = { "0", "1", "2", "3", "4", "5" };
	enum { N = sizeof keys / sizeof *keys };
	struct kache_remote *r = kache_layer_limit(backend(NULL, 0), 1, 0);
	struct thread t[N];

	fake.hold_ms = 50 * N;	/* the first one, until all are there */
	for (unsigned i = 0; i < N; i++) {
		t[i] = (struct thread){ .r = r, .key = keys[i] };
		pthread_create(&t[i].id, NULL, thread_main, &t[i]);
		usleep(30000);
		pthread_mutex_lock(&fake.lock);
		fake.hold_ms = 0;
		pthread_mutex_unlock(&fake.lock);
	}
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i].id, NULL);
	is_str(fake.order, "012345", "who came first goes first");
	fresh_call(1);
	call.unasked = true;
	ok(ask(r, "k") == KB_MISS && !call.unasked, "and all places are given back");
	kache_remote_close(r);

	r = kache_layer_limit(backend(NULL, 0), 4, 1);
	ask(r, "k");
	fresh_call(20);
	ok(kache_remote_del(r, key_of("k"), &call) == KB_E_THROTTLED && call.unasked && fake.calls == 1,
	   "a turn by the rate that comes too late is not waited for");
	kache_remote_close(r);
}

static void limit(void)
{
	struct kache_remote *r = kache_layer_limit(backend(NULL, 0), 3, 0);
	int pipe_fd[2];
	uint64_t began;
	struct thread t = { .r = r, .key = "k" };

	fake.hold_ms = 20;
	ok(together(r, "k", false, 12, KB_MISS) == 12 && fake.most_busy == 3, "no more than three at the same time, and all in the end");
	kache_remote_close(r);

	r = kache_layer_limit(backend(NULL, 0), 1, 0);
	fake.hold_ms = 400;
	t.r = r;
	pthread_create(&t.id, NULL, thread_main, &t);
	usleep(50000);
	if (!pipe(pipe_fd) && write(pipe_fd[1], "x", 1) == 1) {
		struct kb_stat st;

		kache_call_init(&call, kache_now_mono() + 5000000000u, pipe_fd[0]);
		ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_E_CANCELLED, "who waits for a place can be cancelled");
		kache_call_init(&call, kache_now_mono() + 50000000u, -1);
		ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_E_TIMEOUT && call.unasked, "and waits no longer than it has time");
	}
	pthread_join(t.id, NULL);
	kache_remote_close(r);

	r = kache_layer_limit(backend(NULL, 0), 8, 50);
	began = kache_now_mono();
	for (int i = 0; i < 6; i++)
		ask(r, "k");
	ok(kache_now_mono() - began >= 95000000, "a rate of 50 a second spaces six calls over a tenth");
	fresh_call(1);
	kache_remote_close(r);
	limit_fairness();
}

/* ---- attempt, retry ---- */

static void attempts(void)
{
	struct kache_remote *retry, *r = kache_layer_attempt(backend(NULL, 0), 500);
	struct kache_remote_stats counted = { 0 };
	int pipe_fd[2];
	uint64_t before;

	before = kache_now_mono();
	ask(r, "k");
	ok(fake.last_deadline >= before && fake.last_deadline <= kache_now_mono() + 500000000, "an attempt has its own time");
	ok(call.kb.deadline_ns > fake.last_deadline, "and the call keeps its own");
	kache_remote_close(r);

	retry = kache_layer_retry(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_MISS), 3);
	kache_layer_retry_count(retry, &counted);
	ok(ask(retry, "k") == KB_MISS && fake.calls == 3 && atomic_load(&counted.retries) == 2, "what fails for a moment is repeated");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_AUTH), 3);
	ok(ask(retry, "k") == KB_E_AUTH && fake.calls == 1, "what will not change is not");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_THROTTLED, KB_OK), 3);
	fake.retry_after_ms = 60000;
	ok(ask(retry, "k") == KB_E_THROTTLED && fake.calls == 1, "a pause that does not fit the time is not begun");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_CORRUPT, KB_E_CORRUPT, KB_OK), 3);
	ok(ask(retry, "k") == KB_E_CORRUPT && fake.calls == 2, "what came damaged is fetched once more");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_TRANSIENT, KB_OK), 3);
	if (!pipe(pipe_fd) && write(pipe_fd[1], "x", 1) == 1) {
		kache_call_init(&call, kache_now_mono() + 5000000000u, pipe_fd[0]);
		ok(kache_remote_del(retry, key_of("k"), &call) == KB_E_CANCELLED && fake.calls == 1, "a pause ends when the call is cancelled");
	}
	kache_remote_close(retry);
}

/* ---- stats ---- */

#define COUNT(name) atomic_load(&kache_remote_stats(r)->name)

static void stats(void)
{
	static const int answers[] = {
		KB_OK, KB_MISS, KB_E_TRANSIENT, KB_E_THROTTLED, KB_E_TIMEOUT, KB_E_AUTH, KB_E_NOSPACE, KB_E_CORRUPT, KB_E_LOCAL,
		KB_E_BUG, KB_E_CANCELLED, KB_E_TOOBIG,
	};
	enum { N = sizeof answers / sizeof *answers };
	struct kache_remote_info info = { .backend = "fake", .url = kache_strdup("fake:"), .prefix = kache_strdup("") };
	struct kache_remote *f = backend(NULL, 0), *r = kache_layer_stats(f, &info, 1000);

	give(r, "k", "data", 4, 0);
	give(r, "k", "data", 4, KB_PUT_IF_ABSENT);
	memcpy(fake.script + fake.calls, answers, sizeof answers);
	fake.n_script = fake.calls + N;
	for (unsigned i = 0; i < N; i++)
		ask(r, "k");
	ok(COUNT(stored) == 1 && COUNT(existed) == 1 && COUNT(bytes_out) == 4, "what was stored");
	ok(COUNT(hits) == 1 && COUNT(misses) == 1 && COUNT(bytes_in) == 4, "what was found");
	ok(COUNT(errors) == 8 && COUNT(too_big) == 1, "what failed, without what was cancelled");
	ok(COUNT(passing) == 2 && COUNT(timeouts) == 1 && COUNT(refused) == 1 && COUNT(no_space) == 1 && COUNT(corrupt) == 1 &&
	   COUNT(local) == 1 && COUNT(other) == 1, "and of which kind that was");
	ok(COUNT(get_n) == 2 && COUNT(put_n) == 2, "how many answers there were");
	fake.hold_ms = 5;
	ask(r, "k");
	ok(COUNT(get_us) >= 5000, "and how long they took");
	fake.unasked = true;
	ask(r, "absent");
	fake.n_script = fake.calls + 1;
	fake.script[fake.calls] = KB_E_TRANSIENT;
	ask(r, "k");
	ok(COUNT(spared) == 1 && COUNT(held_back) == 1 && COUNT(errors) == 8 && COUNT(get_n) == 3, "what the remote was not asked is no answer of it");
	kache_remote_close(r);
}

int main(void)
{
	kache_log_level = KACHE_LOG_ERROR;
	breaker();
	negative();
	coalesce();
	limit();
	attempts();
	stats();
	kache_buf_release(&got);
	return done();
}
