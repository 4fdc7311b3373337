// json_simd: the reading half of json.h, and the shortest digits for number.h; the only C++ here.
//
// simdjson's DOM element, and its array and object iterators, are two words: the document and an
// index on its tape. struct json is those two words, so values cross the language line by copying
// bytes, and no object has to be kept alive on this side except the parser.
#include <charconv>
#include <cmath>
#include <cstring>
#include <simdjson.h>
#include <string>

extern "C" {
#include "storage/base/json.h"
#include "storage/base/number.h"

size_t json_find_fault(struct slice text, const char **what);
size_t json_repair(char *text, size_t len);
}

namespace
{
namespace dom = simdjson::dom;

constexpr size_t DEPTH_MAX = 64;

static_assert(sizeof(dom::element) == sizeof(struct json), "struct json mirrors dom::element");
static_assert(sizeof(dom::object::iterator) == sizeof(struct json), "an iterator is two words");
static_assert(sizeof(dom::array::iterator) == sizeof(struct json), "an iterator is two words");

template <typename T> T unpack(struct json value)
{
    T out;
    std::memcpy(static_cast<void *>(&out), &value, sizeof value);
    return out;
}

template <typename T> struct json pack(const T &native)
{
    struct json out;
    std::memcpy(&out, static_cast<const void *>(&native), sizeof out);
    return out;
}

dom::element element(struct json value)
{
    return unpack<dom::element>(value);
}

const struct json NONE = {nullptr, 0};
} // namespace

struct json_parser {
    dom::parser dom;
    size_t document_max;
    std::string repaired; // empty unless the last text had to be repaired
    explicit json_parser(size_t max) : dom(max), document_max(max)
    {
    }
};

extern "C" struct json_parser *json_parser_new(size_t document_max)
{
    return new json_parser(document_max);
}

extern "C" void json_parser_free(struct json_parser *parser)
{
    delete parser;
}

extern "C" int json_parse(struct json_parser *parser, struct slice text, struct json *out,
                          struct error *err)
{
    if (text.len > parser->document_max)
        return error_set(err, ERROR_TOO_LARGE, "the JSON text has %zu bytes, the limit is %zu",
                         text.len, parser->document_max);
    if (parser->dom.capacity() < text.len || parser->dom.max_depth() != DEPTH_MAX) {
        size_t room = text.len < 4096 ? 4096 : text.len;
        if (parser->dom.allocate(room, DEPTH_MAX) != simdjson::SUCCESS)
            return error_set(err, ERROR_TOO_LARGE, "no memory for a JSON text of %zu bytes",
                             text.len);
    }
    dom::element root;
    const char *bytes = text.len ? text.at : ""; // an empty slice may have no address
    parser->repaired.clear();
    auto code = parser->dom.parse(bytes, text.len, true).get(root);
    if (code != simdjson::SUCCESS) {
        parser->repaired.assign(bytes, text.len);
        if (json_repair(parser->repaired.data(), text.len) == 0)
            parser->repaired.clear();
        else
            code = parser->dom.parse(parser->repaired.data(), text.len, true).get(root);
    }
    if (code == simdjson::SUCCESS) {
        *out = pack(root);
        return 0;
    }
    const char *what = nullptr;
    size_t at = json_find_fault(text, &what);
    if (what)
        return error_set(err, ERROR_BAD_DATA, "%s at byte %zu", what, at + 1);
    return error_set(err, ERROR_BAD_DATA, "%s", simdjson::error_message(code));
}

extern "C" struct slice json_repaired(const struct json_parser *parser)
{
    if (parser->repaired.empty())
        return slice_make(nullptr, 0);
    return slice_make(parser->repaired.data(), parser->repaired.size());
}

extern "C" enum json_type json_type(struct json value)
{
    if (!value.document)
        return JSON_NONE;
    switch (element(value).type()) {
    case dom::element_type::ARRAY:
        return JSON_ARRAY;
    case dom::element_type::OBJECT:
        return JSON_OBJECT;
    case dom::element_type::INT64:
        return JSON_INT;
    case dom::element_type::UINT64:
        return JSON_UINT;
    case dom::element_type::DOUBLE:
        return JSON_DOUBLE;
    case dom::element_type::STRING:
        return JSON_STRING;
    case dom::element_type::BOOL:
        return JSON_BOOL;
    case dom::element_type::NULL_VALUE:
        return JSON_NULL;
    }
    return JSON_NONE;
}

extern "C" struct json json_get(struct json value, const char *key)
{
    if (json_type(value) != JSON_OBJECT)
        return NONE;
    dom::element found;
    if (dom::object(element(value)).at_key(key).get(found) != simdjson::SUCCESS)
        return NONE;
    return pack(found);
}

extern "C" bool json_string(struct json value, struct slice *out)
{
    if (json_type(value) != JSON_STRING)
        return false;
    std::string_view text = element(value).get_string().value_unsafe();
    *out = slice_make(text.data(), text.size());
    return true;
}

extern "C" bool json_number(struct json value, double *out)
{
    switch (json_type(value)) {
    case JSON_INT:
        *out = static_cast<double>(element(value).get_int64().value_unsafe());
        return true;
    case JSON_UINT:
        *out = static_cast<double>(element(value).get_uint64().value_unsafe());
        return true;
    case JSON_DOUBLE:
        *out = element(value).get_double().value_unsafe();
        return true;
    case JSON_NONE:
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return false;
}

extern "C" bool json_int(struct json value, int64_t *out)
{
    enum json_type type = json_type(value);
    if (type == JSON_INT) {
        *out = element(value).get_int64().value_unsafe();
        return true;
    }
    double number;
    if (type != JSON_DOUBLE || !json_number(value, &number))
        return false;
    if (number != std::floor(number) || std::fabs(number) >= 9.2e18)
        return false;
    *out = static_cast<int64_t>(number);
    return true;
}

extern "C" bool json_bool(struct json value, bool *out)
{
    if (json_type(value) != JSON_BOOL)
        return false;
    *out = element(value).get_bool().value_unsafe();
    return true;
}

extern "C" size_t json_count(struct json value)
{
    size_t count = 0;
    for (struct json_iterator it = json_iterate(value); json_next(&it);)
        count++;
    return count;
}

extern "C" struct json_iterator json_iterate(struct json value)
{
    struct json_iterator it = {NONE, 0, false, {nullptr, 0}, NONE};
    if (json_type(value) == JSON_OBJECT) {
        dom::object object = element(value).get_object().value_unsafe();
        it.next = pack(object.begin());
        it.end = pack(object.end()).index;
        it.object = true;
    } else if (json_type(value) == JSON_ARRAY) {
        dom::array array = element(value).get_array().value_unsafe();
        it.next = pack(array.begin());
        it.end = pack(array.end()).index;
    }
    return it;
}

extern "C" bool json_next(struct json_iterator *it)
{
    if (!it->next.document || it->next.index >= it->end)
        return false;
    if (it->object) {
        auto native = unpack<dom::object::iterator>(it->next);
        std::string_view key = native.key();
        it->key = slice_make(key.data(), key.size());
        it->value = pack(native.value());
        ++native;
        it->next = pack(native);
    } else {
        auto native = unpack<dom::array::iterator>(it->next);
        it->value = pack(*native);
        ++native;
        it->next = pack(native);
    }
    return true;
}

extern "C" size_t number_digits(double magnitude, char digits[NUMBER_DIGITS_MAX], int *exponent)
{
    char text[32]; // d.ddde+xx
    auto end =
        std::to_chars(text, text + sizeof text, magnitude, std::chars_format::scientific).ptr;
    auto size = static_cast<size_t>(end - text);
    auto mark = static_cast<const char *>(std::memchr(text, 'e', size));
    size_t count = 0;
    for (const char *at = text; at < mark; at++)
        if (*at != '.')
            digits[count++] = *at;
    std::from_chars(mark + 2, end, *exponent);
    if (mark[1] == '-')
        *exponent = -*exponent;
    return count;
}
