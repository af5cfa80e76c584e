#include "config.h"
#include "remote/tiers.h"
#include "base/clock.h"
int kache_tiers_open(const struct kache_conf *conf, struct kache_remote **out, struct kache_error *err)
{
	return kache_remote_open(conf, NULL, kache_now_mono() + 5000000000, -1, out, err);
}
size_t kache_tiers_count(const struct kache_remote *r) { (void)r; return 1; }
void kache_tiers_info(const struct kache_remote *r, size_t i, struct kache_tier_state *out)
{
	(void)i;
	*out = (struct kache_tier_state){ .url = kache_remote_info(r)->url, .backend = kache_remote_info(r)->backend, .state = "ok", .stats = kache_remote_stats(r) };
}
