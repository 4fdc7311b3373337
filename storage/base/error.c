/* error: see the header. Texts longer than the room are cut, never overflow. */
#include "storage/base/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    err->kind = kind;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
    if (!err)
        return -1;
    char tail[sizeof err->text];
    va_list args;
    memcpy(tail, err->text, sizeof tail);
    va_start(args, format);
    int len = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t room =
        len >= 0 && (size_t)len + 3 < sizeof err->text ? sizeof err->text - (size_t)len - 3 : 0;
    if (room) {
        size_t n = strnlen(tail, room);
        memcpy(err->text + len, ": ", 2);
        memcpy(err->text + len + 2, tail, n);
        err->text[(size_t)len + 2 + n] = 0;
    }
    return -1;
}
