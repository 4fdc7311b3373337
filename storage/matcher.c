/* matcher: see the header. */
#include "storage/matcher.h"

int matcher_init(struct matcher *matcher, enum matcher_type type, struct slice name,
                 struct slice value, struct error *err)
{
    *matcher = (struct matcher){.type = type, .name = name, .value = value};
    if (type == MATCH_REGEX || type == MATCH_NOT_REGEX)
        return regex_compile(value, REGEX_ANCHORED, &matcher->regex, err);
    return 0;
}

void matcher_release(struct matcher *matcher)
{
    regex_free(matcher->regex);
    matcher->regex = NULL;
}

bool matcher_accepts(const struct matcher *matcher, struct slice value)
{
    switch (matcher->type) {
    case MATCH_EQUAL:
        return slice_equal(matcher->value, value);
    case MATCH_NOT_EQUAL:
        return !slice_equal(matcher->value, value);
    case MATCH_REGEX:
        return regex_match(matcher->regex, value);
    case MATCH_NOT_REGEX:
        return !regex_match(matcher->regex, value);
    }
    return false;
}

bool matchers_accept(const struct matcher *matchers, size_t count, struct labels labels)
{
    for (size_t i = 0; i < count; i++)
        if (!matcher_accepts(&matchers[i], labels_get(labels, matchers[i].name)))
            return false;
    return true;
}

const char *matcher_operator(enum matcher_type type)
{
    static const char *const text[] = {"=", "!=", "=~", "!~"};
    return text[type];
}
