/* http_multipart: see the header.
 *
 *   --B CRLF
 *   Content-Disposition: form-data; name="query" CRLF
 *   CRLF
 *   up CRLF
 *   --B--
 *
 * What stands before the first boundary and after the last is nobody's. Deliberately absent: files,
 * names with escaped quotes, charsets and transfer encodings of single parts.
 */
#include "server/net/http_multipart.h"

#include "server/net/http_parse.h"

#define BOUNDARY_BYTES_MAX 70 /* RFC 2046 */

static const struct slice name_key = SLICE_LIT("; name=\"");

bool http_multipart_boundary(struct slice content_type, struct slice *out)
{
    struct slice parameter, key;
    slice_cut(&content_type, ';', &parameter);
    if (!slice_equal_nocase(slice_trim(parameter), SLICE("multipart/form-data")))
        return false;
    while (content_type.len) {
        slice_cut(&content_type, ';', &parameter);
        slice_cut(&parameter, '=', &key);
        if (!slice_equal_nocase(slice_trim(key), SLICE("boundary")))
            continue;
        *out = slice_trim(parameter);
        if (out->len > 1 && out->at[0] == '"' && out->at[out->len - 1] == '"')
            *out = slice_make(out->at + 1, out->len - 2);
        return out->len > 0 && out->len <= BOUNDARY_BYTES_MAX;
    }
    return false;
}

/* Cuts the body at the next --boundary; false when there is none. */
static bool cut_part(struct slice *rest, struct slice boundary, struct slice *part)
{
    for (size_t from = 0; from < rest->len;) {
        size_t at = from + slice_find(slice_skip(*rest, from), SLICE("--"));
        if (at == rest->len)
            return false;
        if (slice_starts_with(slice_skip(*rest, at + 2), boundary)) {
            *part = slice_head(*rest, at);
            *rest = slice_skip(*rest, at + 2 + boundary.len);
            return true;
        }
        from = at + 1;
    }
    return false;
}

size_t http_count_multipart(struct slice body, struct slice boundary)
{
    struct slice part;
    size_t count = 0;
    while (count < HTTP_PARAMS_MAX && cut_part(&body, boundary, &part))
        count++;
    return count;
}

/* False for a file, and for what has no name. */
static bool read_name(struct slice head, struct slice *out)
{
    size_t at = slice_find(head, name_key);
    if (at == head.len || slice_find(head, SLICE("; filename")) < head.len)
        return false;
    head = slice_skip(head, at + name_key.len);
    return slice_cut(&head, '"', out);
}

/* CRLF head CRLF CRLF value CRLF */
static int read_part(struct slice part, struct http_param *at, size_t *count, struct error *err)
{
    size_t head = slice_find(part, SLICE("\r\n\r\n"));
    struct slice name;
    bool whole = head + 4 <= part.len && part.len >= head + 6 &&
                 slice_equal(slice_skip(part, part.len - 2), SLICE("\r\n"));
    if (!whole)
        return error_set(err, ERROR_BAD_DATA, "a part of the multipart form has no end");
    if (!read_name(slice_head(part, head), &name))
        return 0;
    if (*count == HTTP_PARAMS_MAX)
        return error_set(err, ERROR_BAD_DATA, "the request has more than %d parameters",
                         HTTP_PARAMS_MAX);
    at[(*count)++] = (struct http_param){name, slice_make(part.at + head + 4, part.len - head - 6)};
    return 0;
}

int http_parse_multipart(struct slice body, struct slice boundary, struct http_param *at,
                         size_t *count, struct error *err)
{
    struct slice part;
    if (!cut_part(&body, boundary, &part))
        return error_set(err, ERROR_BAD_DATA, "the multipart form does not hold its boundary");
    while (!slice_starts_with(body, SLICE("--"))) {
        if (!cut_part(&body, boundary, &part))
            return error_set(err, ERROR_BAD_DATA,
                             "the multipart form ends before its last boundary");
        if (read_part(part, at, count, err) != 0)
            return -1;
    }
    return 0;
}
