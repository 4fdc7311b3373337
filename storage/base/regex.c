/* regex: see the header. PCRE2 8-bit with its JIT.
 *
 * The dialect of our peers is RE2, which promises linear time and has neither backreferences nor
 * look-around. PCRE2 has both, so constructs outside that dialect are refused by a scan of the
 * pattern before it is compiled. What backtracking is left is bounded, and then done without:
 *
 *   JIT, limited matches and stack -> nearly every match ends here
 *   PCRE2's DFA matcher            -> `(a+)+b`: no backtracking, but no groups, and quadratic in the
 *                                     subject when it is not anchored, hence a bound on that
 *
 * The match limit holds for one place to start from; a long subject has many, and `(a|b)*$` can run
 * to the end from each. So long subjects are searched window by window, against the clock.
 *
 * What neither decides counts as no match, and is counted.
 *
 * Three escapes mean something else to PCRE2 and are written out: RE2's `\s` is without the vertical tab,
 * which is its `\v`.
 *
 * RE2 matches characters. For subjects in ASCII that is the same as matching bytes, which is faster; so
 * a pattern to which it may make a difference is compiled twice, and the code for characters used for
 * what is UTF-8 but not ASCII (or is matched with a pattern that is not: of e-acute+ the plus repeats
 * two bytes).
 *
 * Match data is per thread: one block for REGEX_GROUPS_MAX groups, made at first use.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "storage/base/regex.h"

#include <assert.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/buffer.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"

#define PATTERN_BYTES_MAX 8192
#define MATCH_LIMIT       1000000
#define HEAP_LIMIT_KIB    4096
#define JIT_STACK_MIN     ((size_t)32 << 10)
#define JIT_STACK_MAX     ((size_t)16 << 20)
#define DFA_WORKSPACE     4096         /* ints */
#define DFA_ANCHORED_MAX  (256u << 10) /* bytes of a subject */
#define LONG_SUBJECT      2048u
#define WINDOW            512u /* places to start from between two looks at the clock */
#define LONG_SUBJECT_NS   ((int64_t)100000000)

static struct metric regex_metrics[] = {
    {"lapwing_regex_given_up_total", METRIC_COUNTER, NULL,
     "Matches that were over the limits of effort and counted as no match.", 0, 0},
};

struct regex {
    pcre2_code *code;       /* for bytes */
    pcre2_code *characters; /* for UTF-8; NULL where it would be no different */
    bool ascii;             /* the pattern is, and so for ASCII both codes do the same */
    size_t group_count;     /* without group 0 */
    bool anchored;
};

struct thread_scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    int *workspace; /* of the DFA matcher; NULL until it is needed */
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
    struct thread_scratch *scratch = arg;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    free(scratch->workspace);
    free(scratch);
}

static void scratch_make_key(void)
{
    pthread_key_create(&scratch_key, scratch_free);
    metric_register(regex_metrics, sizeof regex_metrics / sizeof *regex_metrics);
}

static struct thread_scratch *scratch_get(void)
{
    pthread_once(&scratch_once, scratch_make_key);
    struct thread_scratch *scratch = pthread_getspecific(scratch_key);
    if (scratch)
        return scratch;
    scratch = alloc_zeroed(1, sizeof *scratch);
    scratch->data = pcre2_match_data_create(REGEX_GROUPS_MAX, NULL);
    scratch->context = pcre2_match_context_create(NULL);
    scratch->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    assert(scratch->data && scratch->context && scratch->stack);
    pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
    pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    pthread_setspecific(scratch_key, scratch);
    return scratch;
}

/* The letters and digits that mean something behind a backslash. */
static bool is_escape(char c, bool in_class)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    return (!letter && !(c >= '0' && c <= '9')) || strchr("afnrtvxdDsSwWpP01234567", c) ||
           (!in_class && strchr("AbBzQE", c));
}

/* The last byte of the escape that begins at `at`: braces and quoted text belong to it. */
static size_t escape_end(struct slice pattern, size_t at)
{
    struct slice rest = slice_skip(pattern, at + 1);
    if (rest.len && *rest.at == 'Q') /* literal up to \E: nothing in it is syntax */
        return at + 1 + slice_find(rest, SLICE("\\E")) + 1;
    if (rest.len > 1 && strchr("xpP", *rest.at) && rest.at[1] == '{')
        return at + 1 + slice_find(rest, SLICE("}"));
    return at + 1;
}

/* What RE2 lacks about the escape at `at`, or NULL. */
static const char *foreign_escape(struct slice pattern, size_t at, bool in_class)
{
    char next = at + 1 < pattern.len ? pattern.at[at + 1] : 0;
    if (!in_class && ((next >= '1' && next <= '9') || next == 'k' || next == 'g'))
        return "backreferences";
    return is_escape(next, in_class) ? NULL : "escape sequences of other dialects";
}

/* Flags are i, m, s and U; names and plain groups the rest. */
static bool is_foreign_group(struct slice rest)
{
    if (!slice_starts_with(rest, SLICE("(?")))
        return slice_starts_with(rest, SLICE("(*"));
    rest = slice_skip(rest, 2);
    if (slice_starts_with(rest, SLICE("P<")))
        return false;
    if (slice_starts_with(rest, SLICE("<")))
        return rest.len < 2 || strchr("=!", rest.at[1]);
    while (rest.len && strchr("imsU-", rest.at[0]))
        rest = slice_skip(rest, 1);
    return rest.len == 0 || !strchr(":)", rest.at[0]);
}

/* What RE2 lacks; *at is where it stands. NULL when the pattern is within the dialect. */
static const char *foreign_construct(struct slice pattern, size_t *at)
{
    size_t class_from = 0; /* where [ opened, plus one; 0 = outside */
    size_t escaped_to = 0; /* behind the last escape */
    for (size_t i = 0; i < pattern.len; i++) {
        *at = i;
        char c = pattern.at[i];
        if (c == '\\') {
            const char *foreign = foreign_escape(pattern, i, class_from);
            if (foreign)
                return foreign;
            i = escape_end(pattern, i);
            escaped_to = i + 1;
            continue;
        }
        if (class_from) { /* a ] right behind [ or [^ is literal; so is all syntax */
            bool first = i == class_from || (i == class_from + 1 && pattern.at[i - 1] == '^');
            if (c == ']' && !first)
                class_from = 0;
            continue;
        }
        if (c == '[')
            class_from = i + 1;
        if (is_foreign_group(slice_skip(pattern, i)))
            return "look-around, atomic, conditional and recursive groups";
        if (c == '+' && i > escaped_to && strchr("*+?}", pattern.at[i - 1]))
            return "possessive quantifiers";
    }
    return NULL;
}

/* Behind the character of a class at `at`, or behind all of a [:name:]. */
static size_t class_member_end(struct slice pattern, size_t at)
{
    struct slice rest = slice_skip(pattern, at), name = slice_skip(rest, 2);
    size_t length = slice_find(name, SLICE(":]"));
    bool named = slice_starts_with(rest, SLICE("[:")) && length < name.len;
    return named ? at + 2 + length + 2 : at + 1;
}

static bool is_other_escape(struct slice escape)
{
    return escape.len == 2 && memchr("svS", escape.at[1], 3);
}

/* In a class a hyphen behind \s is one. */
static void put_other_escape(struct buffer *out, char letter, bool in_class, bool hyphen)
{
    static const char *const alone[] = {"\\x0b", "[\\t\\n\\f\\r ]", "[^\\t\\n\\f\\r ]"};
    static const char *const in_classes[] = {"\\x0b", "\\t\\n\\f\\r ", "\\S\\x0b"};
    size_t row = letter == 'v' ? 0 : letter == 's' ? 1 : 2;
    buffer_append_string(out, in_class ? in_classes[row] : alone[row]);
    buffer_append_string(out, hyphen ? "\\-" : "");
}

/* The pattern for PCRE2. */
static void translate(struct slice pattern, struct buffer *out)
{
    size_t class_from = 0; /* as above */
    for (size_t i = 0, end; i < pattern.len; i = end) {
        bool first =
            class_from && (i == class_from || (i == class_from + 1 && pattern.at[i - 1] == '^'));
        end = i + 1;
        if (pattern.at[i] == '\\')
            end = escape_end(pattern, i) + 1;
        else if (class_from)
            end = class_member_end(pattern, i);
        else if (pattern.at[i] == '[')
            class_from = i + 1;
        if (class_from && pattern.at[i] == ']' && !first)
            class_from = 0;
        end = end < pattern.len ? end : pattern.len;
        struct slice piece = slice_make(pattern.at + i, end - i);
        bool other = pattern.at[i] == '\\' && is_other_escape(piece);
        bool hyphen = other && class_from && piece.at[1] != 'v' && end < pattern.len &&
                      pattern.at[end] == '-';
        if (other)
            put_other_escape(out, piece.at[1], class_from, hyphen);
        else
            buffer_append_slice(out, piece);
        end += hyphen;
    }
}

static bool is_ascii(struct slice s)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= s.len; i += sizeof word) {
        memcpy(&word, s.at + i, sizeof word);
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; i < s.len; i++)
        if ((unsigned char)s.at[i] >= 0x80)
            return false;
    return true;
}

/* Whether the pattern can tell bytes from characters: a dot, a class, an escape, or non-ASCII text,
 * which may be repeated or be in two cases. */
static bool knows_characters(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.at[i] && strchr(".[\\", pattern.at[i]))
            return true;
    return !is_ascii(pattern);
}

/* For bytes; a pattern with characters that no byte is (`\x{2192}`) for what may be UTF-8. */
static pcre2_code *compile_bytes(struct slice pattern, uint32_t options, int *code,
                                 PCRE2_SIZE *offset)
{
    PCRE2_SPTR at = (PCRE2_SPTR)(pattern.len ? pattern.at : "");
    pcre2_code *compiled = pcre2_compile(at, pattern.len, options, code, offset, NULL);
    if (!compiled && *code == PCRE2_ERROR_CODE_POINT_TOO_BIG)
        compiled = pcre2_compile(at, pattern.len, options | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF,
                                 code, offset, NULL);
    return compiled;
}

/* A pattern that is not UTF-8 stays one of bytes. */
static pcre2_code *compile_characters(struct slice pattern, uint32_t options)
{
    int code;
    PCRE2_SIZE offset;
    if (!knows_characters(pattern))
        return NULL;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.len, options | PCRE2_UTF,
                                         &code, &offset, NULL);
    if (compiled)
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    return compiled;
}

static int compile(struct slice pattern, unsigned flags, struct regex **out, struct error *err)
{
    uint32_t options = PCRE2_USE_OFFSET_LIMIT | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
                       PCRE2_DUPNAMES | PCRE2_NEVER_UCP;
    if (flags & REGEX_ANCHORED)
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    if (flags & REGEX_IGNORE_CASE)
        options |= PCRE2_CASELESS;
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled = compile_bytes(pattern, options, &code, &offset);
    if (!compiled) {
        PCRE2_UCHAR text[200];
        pcre2_get_error_message(code, text, sizeof text);
        return error_set(err, ERROR_BAD_DATA, "%s (at byte %zu)", (const char *)text,
                         (size_t)offset + 1);
    }
    uint32_t groups = 0;
    pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups >= REGEX_GROUPS_MAX) {
        pcre2_code_free(compiled);
        return error_set(err, ERROR_BAD_DATA, "the regular expression has %u groups, at most %d",
                         groups, REGEX_GROUPS_MAX - 1);
    }
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without a JIT it is only slower */
    *out = alloc_zeroed(1, sizeof **out);
    **out = (struct regex){compiled, compile_characters(pattern, options), is_ascii(pattern),
                           groups, (flags & REGEX_ANCHORED) != 0};
    return 0;
}

int regex_compile(struct slice pattern, unsigned flags, struct regex **out, struct error *err)
{
    size_t at = 0;
    if (pattern.len > PATTERN_BYTES_MAX)
        return error_set(err, ERROR_BAD_DATA,
                         "the regular expression has %zu bytes, the limit is %d", pattern.len,
                         PATTERN_BYTES_MAX);
    const char *foreign = foreign_construct(pattern, &at);
    if (foreign)
        return error_set(err, ERROR_BAD_DATA, "%s are not supported (at byte %zu)", foreign,
                         at + 1);
    struct buffer translated;
    buffer_init(&translated, (size_t)8 * PATTERN_BYTES_MAX);
    translate(pattern, &translated);
    int result = compile(buffer_slice(&translated), flags, out, err);
    buffer_release(&translated);
    return result;
}

void regex_free(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    pcre2_code_free(regex->characters);
    free(regex);
}

/* With the constructs that matchers are mostly made of. */
void regex_warm(void)
{
    struct regex *regex = NULL;
    struct error unused;
    int status = regex_compile(SLICE("(?:a|b-[0-2]+).*_c"), REGEX_ANCHORED, &regex, &unused);
    assert(status == 0);
    assert(regex);
    bool matched = regex_match(regex, SLICE("b-1.x_c"));
    assert(matched);
    regex_free(regex);
}

/* One match: a regex, what it is tried on, and which of its codes fits that. */
struct match {
    const pcre2_code *code;
    struct slice subject;
    uint32_t options;
    bool anchored;
    struct thread_scratch *scratch;
};

static struct match match_of(const struct regex *regex, struct slice subject)
{
    struct match m = {regex->code, subject, 0, regex->anchored, scratch_get()};
    if (regex->characters && !(regex->ascii && is_ascii(subject)) && slice_is_utf8(subject)) {
        m.code = regex->characters;
        m.options = PCRE2_NO_UTF_CHECK;
    }
    return m;
}

static int match_from(const struct match *m, size_t start)
{
    return pcre2_match(m->code, (PCRE2_SPTR)(m->subject.len ? m->subject.at : ""), m->subject.len,
                       start, m->options, m->scratch->data, m->scratch->context);
}

/* The place itself, or the next one at which a character begins. */
static size_t character_start(const struct match *m, size_t at)
{
    while (m->options && at < m->subject.len && ((unsigned char)m->subject.at[at] & 0xc0) == 0x80)
        at++;
    return at;
}

static int match_long(const struct match *m)
{
    int64_t deadline = clock_monotonic_ns() + LONG_SUBJECT_NS;
    int code = PCRE2_ERROR_NOMATCH;
    for (size_t start = 0; start <= m->subject.len && code == PCRE2_ERROR_NOMATCH;
         start += WINDOW) {
        pcre2_set_offset_limit(m->scratch->context, start + WINDOW - 1);
        code = match_from(m, character_start(m, start));
        if (code == PCRE2_ERROR_NOMATCH && clock_monotonic_ns() > deadline)
            code = PCRE2_ERROR_MATCHLIMIT;
    }
    pcre2_set_offset_limit(m->scratch->context, PCRE2_UNSET);
    return code;
}

/* A match code of PCRE2: < 0 for no match, be it none or undecided. */
static int run(const struct match *m)
{
    return m->anchored || m->subject.len < LONG_SUBJECT ? match_from(m, 0) : match_long(m);
}

/* Decides without backtracking what `run` could not; false, counted, when this cannot either. */
static bool match_slowly(const struct match *m)
{
    struct thread_scratch *scratch = m->scratch;
    int code = PCRE2_ERROR_MATCHLIMIT;
    if (!scratch->workspace)
        scratch->workspace = alloc_zeroed(DFA_WORKSPACE, sizeof *scratch->workspace);
    /* It passes over PCRE2_ENDANCHORED: the longest match must be all of the subject. */
    uint32_t options = m->options | (m->anchored ? 0 : PCRE2_DFA_SHORTEST);
    if (m->subject.len <= (m->anchored ? DFA_ANCHORED_MAX : LONG_SUBJECT))
        code = pcre2_dfa_match(m->code, (PCRE2_SPTR)m->subject.at, m->subject.len, 0, options,
                               scratch->data, scratch->context, scratch->workspace, DFA_WORKSPACE);
    if (code >= 0 && m->anchored && pcre2_get_ovector_pointer(scratch->data)[1] != m->subject.len)
        code = PCRE2_ERROR_NOMATCH;
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        metric_add(&regex_metrics[0], 1);
    return code >= 0;
}

bool regex_match(const struct regex *regex, struct slice subject)
{
    struct match m = match_of(regex, subject);
    int code = run(&m);
    if (code >= 0 || code == PCRE2_ERROR_NOMATCH)
        return code >= 0;
    return match_slowly(&m);
}

size_t regex_search(const struct regex *regex, struct slice subject, struct slice *groups,
                    size_t count)
{
    struct match m = match_of(regex, subject);
    int matched = run(&m);
    if (matched < 0) {
        if (matched != PCRE2_ERROR_NOMATCH)
            metric_add(&regex_metrics[0], 1);
        return 0;
    }
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(m.scratch->data);
    size_t filled = regex->group_count + 1 < count ? regex->group_count + 1 : count;
    for (size_t i = 0; i < filled; i++) {
        bool set = i < (size_t)matched && ends[2 * i] != PCRE2_UNSET;
        groups[i] = set ? slice_make(subject.at + ends[2 * i], ends[2 * i + 1] - ends[2 * i])
                        : (struct slice){NULL, 0};
    }
    return filled;
}

size_t regex_group_count(const struct regex *regex)
{
    return regex->group_count;
}

/* Entry i of PCRE2's name table: a big-endian group number, then the name. */
static struct slice name_entry(const struct regex *regex, uint32_t i, size_t *group)
{
    PCRE2_SPTR table;
    uint32_t size;
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    const unsigned char *entry = table + (size_t)i * size;
    *group = (size_t)entry[0] << 8 | entry[1];
    return slice_of_string((const char *)entry + 2);
}

static uint32_t name_count(const struct regex *regex)
{
    uint32_t count = 0;
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
    return count;
}

int regex_group(const struct regex *regex, struct slice name)
{
    size_t group;
    for (uint32_t i = 0; i < name_count(regex); i++)
        if (slice_equal(name_entry(regex, i, &group), name))
            return (int)group;
    return -1;
}

struct slice regex_group_name(const struct regex *regex, size_t group)
{
    size_t number;
    for (uint32_t i = 0; i < name_count(regex); i++) {
        struct slice name = name_entry(regex, i, &number);
        if (number == group)
            return name;
    }
    return SLICE("");
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Cuts a reference ("1", "name", "{name}") behind a $; false when there is none. */
static bool cut_reference(struct slice *rest, struct slice *name)
{
    bool braces = rest->len && rest->at[0] == '{';
    struct slice s = braces ? slice_skip(*rest, 1) : *rest;
    size_t len = 0;
    while (len < s.len && is_word(s.at[len]))
        len++;
    if (len == 0 || (braces && (len == s.len || s.at[len] != '}')))
        return false;
    *name = slice_head(s, len);
    *rest = slice_skip(s, len + braces);
    return true;
}

void regex_expand(const struct regex *regex, struct slice replacement, const struct slice *groups,
                  size_t count, struct buffer *out)
{
    struct slice part, name;
    while (slice_cut(&replacement, '$', &part)) {
        uint64_t number;
        buffer_append_slice(out, part);
        if (replacement.len && replacement.at[0] == '$') {
            buffer_append_char(out, '$');
            replacement = slice_skip(replacement, 1);
            continue;
        }
        if (!cut_reference(&replacement, &name)) {
            buffer_append_char(out, '$');
            continue;
        }
        if (!slice_to_u64(name, &number)) {
            int group = regex_group(regex, name);
            number = group < 0 ? count : (uint64_t)group;
        }
        if (number < count)
            buffer_append_slice(out, groups[number]);
    }
    buffer_append_slice(out, part);
}
