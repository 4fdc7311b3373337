/* printable: one character at a time, in the two ways it can come out. */
#include "server/wire/printable.h"

#define HEX_WIDTH 4 /* \x1b */

/* The bytes of the character in front; *plain tells whether it may stand as it is. Of what may not, one
 * byte is taken at a time. */
static size_t character(struct slice text, bool *plain)
{
    size_t len = slice_utf8_length(text);
    unsigned char first = (unsigned char)text.at[0];
    bool c1 = len == 2 && first == 0xc2 && (unsigned char)text.at[1] < 0xa0;
    *plain = len > 0 && !c1 && first >= ' ' && first != 0x7f && first != '\\';
    return *plain ? len : 1;
}

void printable_append(struct buffer *out, struct slice text)
{
    while (text.len) {
        bool plain;
        size_t len = character(text, &plain);
        if (plain)
            buffer_append(out, text.at, len);
        else if (text.at[0] == '\\')
            buffer_append_string(out, "\\\\");
        else
            buffer_append_format(out, "\\x%02x", (unsigned char)text.at[0]);
        text = slice_skip(text, len);
    }
}

size_t printable_width(struct slice text)
{
    size_t width = 0;
    while (text.len) {
        bool plain;
        size_t len = character(text, &plain);
        width += plain ? 1 : text.at[0] == '\\' ? 2 : HEX_WIDTH;
        text = slice_skip(text, len);
    }
    return width;
}
