/* http_multipart: the fields of a multipart/form-data body, the long way to write a form: what
 * `curl -F query=up` sends. Pure. Source: RFC 7578, as far as forms without files go.
 */
#ifndef SERVER_NET_HTTP_MULTIPART_H
#define SERVER_NET_HTTP_MULTIPART_H

#include "server/net/http.h"
#include "storage/base/error.h"

/* The boundary that the Content-Type names; false when it is another type, or without one. */
MUST_USE bool http_multipart_boundary(struct slice content_type, struct slice *out);
/* How many fields http_parse_multipart would find at most. */
size_t http_count_multipart(struct slice body, struct slice boundary);
/* The fields that are no files, appended to at[*count]; names and values point into the body. */
MUST_USE int http_parse_multipart(struct slice body, struct slice boundary, struct http_param *at,
                                  size_t *count, struct error *err);

#endif
