/* Uploads in parts (CreateMultipartUpload, UploadPart, CompleteMultipartUpload), for large objects. */
#define _GNU_SOURCE
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTS_MAX = 10000, ABORT_MS = 2000 };

struct upload {
	struct kb_handle *h;
	const char *key;
	size_t len;
	char *id;			/* encoded */
	char **etags;
	size_t n;
};

static int send(struct upload *u, const char *method, const char *query, struct s3_request *r, struct http_reply *reply,
		struct kb_call *call)
{
	int rc;

	r->method = method;
	r->key = u->key;
	r->key_len = u->len;
	r->query = query;
	rc = s3_send(u->h, r, reply, call);
	if (!rc)
		rc = s3_judge(u->h, reply, "upload in parts", call);
	return rc == KB_MISS ? s3_host->fail(call, KB_E_TRANSIENT, "upload in parts: the server has forgotten it") : rc;
}

static int begin(struct upload *u, struct kb_call *call)
{
	struct s3_request r = { .headers = (const char *const *)u->h->put_headers, .data = "", .len = 0 };
	struct http_reply reply;
	int rc = send(u, "POST", "uploads=", &r, &reply, call);
	char *id = rc ? NULL : s3_xml_text(reply.text, reply.text_len, "UploadId");

	if (!rc && (!id || !*id))
		rc = s3_host->fail(call, KB_E_CORRUPT, "upload in parts: the server gives it no name");
	if (!rc && !(u->id = sigv4_encode(id, strlen(id), 0)))
		rc = s3_host->fail(call, KB_E_LOCAL, "out of memory");
	free(id);
	http_reply_release(&reply);
	return rc;
}

static int part(struct upload *u, struct kb_source *src, size_t number, uint64_t size, struct kb_call *call)
{
	struct s3_request r = { .source = src, .offset = number * u->h->part_size, .of_source = size };
	struct http_reply reply;
	const char *etag;
	char *query = NULL;
	int rc;

	if (asprintf(&query, "partNumber=%zu&uploadId=%s", number + 1, u->id) < 0)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = send(u, "PUT", query, &r, &reply, call);
	etag = rc ? NULL : http_reply_header(&reply, "etag");
	if (!rc && !(etag && (u->etags[number] = strdup(etag))))
		rc = s3_host->fail(call, KB_E_CORRUPT, "upload in parts: a part without an ETag");
	http_reply_release(&reply);
	free(query);
	return rc;
}

static int complete(struct upload *u, struct kb_call *call)
{
	struct http_reply reply = { 0 };
	struct s3_request r = { 0 };
	char *xml = NULL, *query = NULL, *error = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&xml, &len);
	int rc = KB_OK;

	if (!f)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	fputs("<CompleteMultipartUpload>", f);
	for (size_t i = 0; i < u->n; i++)
		fprintf(f, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1, u->etags[i]);
	fputs("</CompleteMultipartUpload>", f);
	if (fclose(f) || asprintf(&query, "uploadId=%s", u->id) < 0)
		rc = s3_host->fail(call, KB_E_LOCAL, "out of memory");
	r.data = xml;
	r.len = len;
	if (!rc)
		rc = send(u, "POST", query, &r, &reply, call);
	/* The status was sent before the outcome was known: an error may come in a body of status 200. */
	error = rc ? NULL : s3_xml_text(reply.text, reply.text_len, "Code");
	if (error)
		rc = s3_host->fail(call, KB_E_TRANSIENT, "upload in parts: %.60s at its end", error);
	free(error);
	http_reply_release(&reply);
	free(query);
	free(xml);
	return rc;
}

/* Parts that stay behind cost money: also after the call's own time is over they are given up properly. */
static void give_up(struct upload *u)
{
	struct s3_request r = { 0 };
	struct http_reply reply;
	struct timespec now;
	struct kb_call call = { .struct_size = sizeof call, .cancel_fd = -1 };
	char *query = NULL;

	clock_gettime(CLOCK_MONOTONIC, &now);
	call.deadline_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + (uint64_t)ABORT_MS * 100000;
	if (asprintf(&query, "uploadId=%s", u->id) < 0)
		return;
	r.method = "DELETE";
	r.key = u->key;
	r.key_len = u->len;
	r.query = query;
	if (s3_send(u->h, &r, &reply, &call))
		s3_host->log(6, "an upload in parts could not be given up; a lifecycle rule should remove such");
	http_reply_release(&reply);
	free(query);
}

int s3_put_parts(struct kb_handle *h, const char *key, size_t len, struct kb_source *src, struct kb_call *call)
{
	struct upload u = { .h = h, .key = key, .len = len };
	uint64_t left = src->size;
	int rc;

	u.n = (size_t)((src->size + h->part_size - 1) / h->part_size);
	if (u.n > PARTS_MAX)
		return s3_host->fail(call, KB_E_TOOBIG, "more than %d parts (option part-size)", PARTS_MAX);
	u.etags = calloc(u.n + 1, sizeof *u.etags);
	if (!u.etags)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = begin(&u, call);
	for (size_t i = 0; !rc && i < u.n; i++) {
		uint64_t size = left < h->part_size ? left : h->part_size;

		rc = part(&u, src, i, size, call);
		left -= size;
	}
	if (!rc)
		rc = complete(&u, call);
	if (rc && u.id)
		give_up(&u);
	for (size_t i = 0; i < u.n; i++)
		free(u.etags[i]);
	free(u.etags);
	free(u.id);
	return rc;
}
