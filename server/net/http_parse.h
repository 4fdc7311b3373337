/* http_parse: HTTP/1.1 requests as bytes; pure functions on slices, no sockets.
 *
 * Strict where leniency is how requests are smuggled past a proxy (RFC 9112): lines end in CRLF,
 * no folded headers, no blank before the colon, one Content-Length, never with Transfer-Encoding.
 */
#ifndef SERVER_NET_HTTP_PARSE_H
#define SERVER_NET_HTTP_PARSE_H

#include <sys/types.h>

#include "server/net/http.h"

#define HTTP_HEAD_MAX     ((size_t)32 << 10) /* bytes: request line and headers */
#define HTTP_HEADERS_MAX  100
#define HTTP_SEGMENTS_MAX 32
#define HTTP_PARAMS_MAX   4096

struct http_head {
    enum http_method method; /* 0: none of ours */
    struct slice method_name;
    struct slice raw_path; /* before decoding */
    struct slice raw_query;
    struct slice *segments; /* decoded parts of the path between slashes */
    size_t segment_count;
    struct http_param *headers;
    size_t header_count;
    int64_t content_length; /* 0 when absent */
    bool chunked;
    bool keep_alive;
    bool version_10; /* HTTP/1.0: knows no chunked encoding */
    bool expects_continue;
};

/* Bytes up to and including the blank line that ends the head; 0 while it has not arrived, -1 when
 * a line ends in a bare LF. *scanned remembers how far earlier calls looked; start with 0. */
ssize_t http_head_length(struct slice text, size_t *scanned);
/* Exactly one head, which must outlive *out. Decoded text and arrays live in the arena. On failure
 * the answer is the status to reply with (400, 417, 431, 501, 505) and *err says why; 0 is fine. */
MUST_USE int http_parse_head(struct slice text, struct arena *arena, struct http_head *out,
                             struct error *err);

/* %XX decoded (and + as a blank where `plus`); false on a bad escape or an exhausted arena. */
MUST_USE bool http_decode(struct slice text, bool plus, struct arena *arena, struct slice *out);
/* a=1&b=2 appended to at[*count] up to HTTP_PARAMS_MAX in order. */
MUST_USE int http_parse_params(struct slice text, struct arena *arena, struct http_param *at,
                               size_t *count, struct error *err);
/* Number of parameters that http_parse_params would find at most. */
size_t http_count_params(struct slice text);

/* --- chunked bodies, as they arrive --- */

enum http_chunks_result {
    HTTP_CHUNKS_MORE,      /* all input taken; send more */
    HTTP_CHUNKS_DONE,      /* the last chunk and its trailers are over; *rest is what follows */
    HTTP_CHUNKS_BAD,       /* not chunked encoding */
    HTTP_CHUNKS_TOO_LARGE, /* the next chunk does not fit into the buffer's limit */
};

struct http_chunks {
    int state;
    uint64_t left;   /* of the size line: its value; of the data: bytes to come */
    size_t overhead; /* bytes of the current size line or of all trailers */
};

/* Takes bytes from the front of *rest and appends the data among them to *body. Start zeroed. */
enum http_chunks_result http_chunks_feed(struct http_chunks *chunks, struct slice *rest,
                                         struct buffer *body);

#endif
