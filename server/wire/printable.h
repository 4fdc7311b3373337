/* printable: bytes from outside as text that a terminal shows and does not obey. Pure.
 *
 * Control bytes (those of C1 too), and what is no UTF-8, become \x1b and the like; a backslash is doubled.
 */
#ifndef SERVER_WIRE_PRINTABLE_H
#define SERVER_WIRE_PRINTABLE_H

#include "storage/base/buffer.h"

void printable_append(struct buffer *out, struct slice text);
/* How many characters that appends. */
size_t printable_width(struct slice text);

#endif
