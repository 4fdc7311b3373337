/* frame: a few thousand bytes by zstd, which finds what repeats.
 *
 * Any thread; each keeps contexts of its own until it ends.
 */
#ifndef STORAGE_CODE_FRAME_H
#define STORAGE_CODE_FRAME_H

#include "storage/base/buffer.h"

#define FRAME_COUNT_MAX 10240 /* bytes in one frame, unpacked */

/* Appends the frame, prefixed by its length. */
void frame_append(struct buffer *out, const uint8_t *bytes, size_t count);
/* Cuts one of `count` bytes from the front of *rest. False on malformed bytes. */
MUST_USE bool frame_cut(struct slice *rest, uint8_t *out, size_t count);

#endif
