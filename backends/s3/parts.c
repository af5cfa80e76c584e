/* Large objects, in parts (CreateMultipartUpload ... CompleteMultipartUpload). Nothing is visible before the last step. */
#include "config.h"
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)
#define MS 1000000ull
/* PATIENCE: for the abort, beyond what the call has left. */
enum { PARTS_MAX = 10000, THREADS = 4, TAG_MAX = 200, PATIENCE_MS = 200, ABORT_MS = 5000 };

struct upload {
	struct kb_handle *h;
	const char *key;
	size_t key_len;
	struct kb_source *src;
	const struct kb_call *call;
	char *id;			/* percent-encoded */
	uint64_t part_size;
	size_t n;
	char (*tags)[TAG_MAX];		/* ETags of the parts */
	/* Of the threads that send parts. */
	pthread_mutex_t lock;
	size_t next;
	int rc;				/* the first error, and its text */
	uint32_t retry_after_ms;
	char text[S3_TEXT];
};

static struct s3_request request(const struct upload *u, const char *method, const char *query)
{
	return (struct s3_request){ .method = method, .key = u->key, .key_len = u->key_len, .query = query };
}

static int create(struct upload *u, struct kb_call *call)
{
	struct s3_request r = request(u, "POST", "uploads=");
	struct http_reply reply;
	char *id = NULL;
	int rc;

	r.creates = true;
	r.data = "";
	rc = s3_send(u->h, &r, &reply, call);
	if (!rc)
		rc = s3_put_result(u->h, &reply, false, "starting an upload in parts", call);
	if (!rc) {
		id = s3_xml_text(reply.text, reply.text_len, "UploadId");
		u->id = id && *id ? sigv4_encode(id, strlen(id), 0) : NULL;
		if (!u->id)
			rc = s3_host->fail(call, KB_E_CORRUPT, "starting an upload in parts: the answer has no UploadId");
	}
	free(id);
	http_reply_release(&reply);
	return rc;
}

/* ---- parts ---- */

/* An entity tag goes into XML as it is. */
static bool tag_ok(const char *tag)
{
	return tag && *tag && strlen(tag) < TAG_MAX && !strpbrk(tag, "<>&");
}

static int send_part(struct upload *u, size_t i, const void *data, size_t len, struct kb_call *call)
{
	struct s3_request r = request(u, "PUT", NULL);
	struct http_reply reply;
	const char *tag;
	char *query;
	int rc;

	if (asprintf(&query, "partNumber=%zu&uploadId=%s", i + 1, u->id) < 0)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	r.query = query;
	if (data) {
		r.data = data;
		r.len = len;
	} else {
		r.source = u->src;
		r.offset = i * u->part_size;
		r.of_source = len;
	}
	rc = s3_send(u->h, &r, &reply, call);
	if (!rc)
		rc = s3_put_result(u->h, &reply, false, "sending a part", call);
	if (!rc) {
		tag = http_reply_header(&reply, "etag");
		if (tag_ok(tag))
			memcpy(u->tags[i], tag, strlen(tag) + 1);
		else
			rc = s3_host->fail(call, KB_E_CORRUPT, "sending a part: the answer has no usable ETag");
	}
	http_reply_release(&reply);
	free(query);
	return rc == KB_MISS ? s3_host->fail(call, KB_E_TRANSIENT, "sending a part: the upload was ended by somebody else") : rc;
}

static size_t size_of_part(const struct upload *u, size_t i)
{
	return (size_t)(i + 1 < u->n ? u->part_size : u->src->size - i * u->part_size);
}

static bool take(struct upload *u, size_t *i)
{
	bool more;

	pthread_mutex_lock(&u->lock);
	more = !u->rc && u->next < u->n;
	if (more)
		*i = u->next++;
	pthread_mutex_unlock(&u->lock);
	return more;
}

/* The host's call belongs to the thread it came in; this one has a copy, and tells its texts at the end. */
static void *sender(void *arg)
{
	struct upload *u = arg;
	struct kb_call call = { .struct_size = sizeof call, .deadline_ns = u->call->deadline_ns, .cancel_fd = u->call->cancel_fd };
	char text[S3_TEXT] = "";
	size_t i;

	s3_capture(text);
	while (take(u, &i)) {
		int rc = send_part(u, i, NULL, size_of_part(u, i), &call);

		if (!rc)
			continue;
		pthread_mutex_lock(&u->lock);
		if (!u->rc) {
			u->rc = rc;
			u->retry_after_ms = call.retry_after_ms;
			memcpy(u->text, text, sizeof text);
		}
		pthread_mutex_unlock(&u->lock);
	}
	s3_capture(NULL);
	return NULL;
}

/* From a file: several at a time, each from its own offset. */
static int send_from_file(struct upload *u, struct kb_call *call)
{
	size_t want = u->h->concurrency < THREADS ? u->h->concurrency : THREADS, n = 0;
	pthread_t threads[THREADS];

	pthread_mutex_init(&u->lock, NULL);
	if (want > u->n)
		want = u->n;
	while (n < want && !pthread_create(&threads[n], NULL, sender, u))
		n++;
	if (!n)
		u->rc = s3_host->fail(call, KB_E_LOCAL, "no thread can be started");
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&u->lock);
	if (n && u->rc) {
		call->retry_after_ms = u->retry_after_ms;
		s3_host->fail(call, u->rc, "%s", u->text);
	}
	return u->rc;
}

static int fill(struct kb_source *src, char *buf, size_t len, struct kb_call *call)
{
	for (size_t at = 0, got; at < len; at += got) {
		int rc = s3_late(call);

		if (rc)
			return rc;
		if (src->read(src, buf + at, len - at, &got) || !got)
			return s3_host->fail(call, KB_E_LOCAL, "what is to be sent can't be read to its end");
	}
	return KB_OK;
}

/* From what can only be read in order: one after the other, through memory. */
static int send_from_stream(struct upload *u, struct kb_call *call)
{
	char *buf = malloc((size_t)u->part_size);
	int rc = buf ? KB_OK : s3_host->fail(call, KB_E_LOCAL, "no memory for a part (option part-size)");

	if (!rc && u->src->rewind(u->src))
		rc = s3_host->fail(call, KB_E_LOCAL, "what is to be sent can't be read");
	for (size_t i = 0; !rc && i < u->n; i++) {
		rc = fill(u->src, buf, size_of_part(u, i), call);
		if (!rc)
			rc = send_part(u, i, buf, size_of_part(u, i), call);
	}
	free(buf);
	return rc;
}

/* ---- the end ---- */

static char *list_of_parts(const struct upload *u, size_t *len)
{
	char *xml = NULL;
	FILE *f = open_memstream(&xml, len);

	if (!f)
		return NULL;
	fputs("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", f);
	for (size_t i = 0; i < u->n; i++)
		fprintf(f, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1, u->tags[i]);
	fputs("</CompleteMultipartUpload>", f);
	if (fclose(f)) {
		free(xml);
		return NULL;
	}
	return xml;
}

static int complete(struct upload *u, bool if_absent, struct kb_call *call)
{
	struct s3_request r = request(u, "POST", NULL);
	struct http_reply reply = { 0 };
	char *query = NULL, *xml = list_of_parts(u, &r.len);
	int rc;

	r.data = xml;
	r.if_absent = if_absent;
	if (!xml || asprintf(&query, "uploadId=%s", u->id) < 0) {
		free(xml);
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	r.query = query;
	rc = s3_send_create(u->h, &r, &reply, call);
	/* It may take long, so the status goes out before the outcome is known. */
	if (!rc && reply.status == 200 && strstr(reply.text, "<Error"))
		reply.status = 500;
	if (!rc)
		rc = s3_put_result(u->h, &reply, if_absent, "ending an upload in parts", call);
	if (rc == KB_MISS)
		rc = s3_host->fail(call, KB_E_TRANSIENT, "ending an upload in parts: it was ended by somebody else");
	http_reply_release(&reply);
	free(query);
	free(xml);
	return rc;
}

/* Also when the call is late or cancelled, with what little time there is; and without a word, for there are others. */
static void give_up(struct upload *u, int why)
{
	bool late = why == KB_E_TIMEOUT || why == KB_E_CANCELLED;
	struct kb_call call = { .struct_size = sizeof call, .cancel_fd = -1,
				.deadline_ns = s3_now() + (late ? PATIENCE_MS : ABORT_MS) * MS };
	struct s3_request r = request(u, "DELETE", NULL);
	struct http_reply reply;
	char text[S3_TEXT], *query;

	if (!late && call.deadline_ns > u->call->deadline_ns + PATIENCE_MS * MS)
		call.deadline_ns = u->call->deadline_ns + PATIENCE_MS * MS;
	if (asprintf(&query, "uploadId=%s", u->id) < 0)
		return;
	r.query = query;
	s3_capture(text);
	(void)s3_send(u->h, &r, &reply, &call);
	s3_capture(NULL);
	http_reply_release(&reply);
	free(query);
}

/* Spares the upload where the object is there. */
static int exists(struct upload *u, struct kb_call *call)
{
	struct s3_request r = request(u, "HEAD", NULL);
	struct http_reply reply;
	int rc = s3_send(u->h, &r, &reply, call);

	if (!rc && reply.status >= 200 && reply.status < 300)
		rc = KB_EXISTS;
	http_reply_release(&reply);
	return rc;
}

int s3_put_parts(struct kb_handle *h, const char *key, size_t len, struct kb_source *src, bool if_absent,
		 struct kb_call *call)
{
	struct upload u = { .h = h, .key = key, .key_len = len, .src = src, .call = call, .part_size = h->part_size };
	uint64_t least = (src->size / PARTS_MAX / MIB + 1) * MIB;
	int rc = if_absent ? exists(&u, call) : KB_OK;

	if (u.part_size < least)
		u.part_size = least;
	u.n = (size_t)((src->size + u.part_size - 1) / u.part_size);
	u.tags = rc ? NULL : calloc(u.n, sizeof *u.tags);
	if (!rc && !u.tags)
		rc = s3_host->fail(call, KB_E_LOCAL, "out of memory");
	if (!rc)
		rc = create(&u, call);
	if (!rc)
		rc = src->fd >= 0 ? send_from_file(&u, call) : send_from_stream(&u, call);
	if (!rc)
		rc = complete(&u, if_absent, call);
	if (rc && u.id)
		give_up(&u, rc);
	free(u.tags);
	free(u.id);
	return rc;
}
