/* encoding: HTTP content codings, bounded. Pure; any thread. */
#ifndef SERVER_NET_ENCODING_H
#define SERVER_NET_ENCODING_H

#include "storage/base/buffer.h"
#include "storage/base/error.h"

/* "", identity, gzip, x-gzip, deflate, zstd, snappy. */
bool encoding_is_known(struct slice name);
/* True when the body is as it is ("" or identity). */
bool encoding_is_identity(struct slice name);
/* Appends the decoded body to *out. -1 when it is damaged (ERROR_BAD_DATA) or would exceed
 * out->limit (ERROR_TOO_LARGE); never more than that limit is held. */
MUST_USE int encoding_inflate(struct slice name, struct slice body, struct buffer *out,
                              struct error *err);
/* Appends the body as gzip; false when that does not fit out->limit. */
MUST_USE bool encoding_gzip(struct slice body, struct buffer *out);
/* The same in parts, of a body whose end is not known yet. Each part can be read by itself once it is
 * there. */
struct gzip;
struct gzip *gzip_new(void);
void gzip_free(struct gzip *gzip);
MUST_USE bool gzip_append(struct gzip *gzip, struct slice part, bool last, struct buffer *out);
/* The same as one snappy block, which is what remote read answers with. */
MUST_USE bool encoding_snappy(struct slice body, struct buffer *out);

#endif
