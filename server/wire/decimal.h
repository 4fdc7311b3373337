/* decimal: the short numbers that most lines hold, read eight bytes at a time. Pure. */
#ifndef SERVER_WIRE_DECIMAL_H
#define SERVER_WIRE_DECIMAL_H

#include "storage/base/slice.h"

#define DECIMAL_MAX 15 /* bytes; so many digits are below 2^53 */

/* Digits with at most one point, no sign; correctly rounded. False (and *out untouched) when it is
 * anything else, or longer. The bytes from `readable` to s.at may be read, too: with eight of them that
 * end where s ends it is fast. */
MUST_USE bool decimal_read(struct slice s, const char *readable, double *out);

#endif
