/* envelope: any bytes as an envelope; every item as an event; every event through grouping. */
#include <assert.h>
#include <stdlib.h>

#include "server/ingest/fingerprint.h"
#include "server/ingest/parameterise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(struct slice payload, struct json_parser *parser, struct arena *arena)
{
    struct error_event event;
    enum sentry_drop drop;
    uint8_t once[FINGERPRINT_SIZE], twice[FINGERPRINT_SIZE];
    if (error_event_parse(payload, parser, arena, &event, &drop) < 0) {
        assert(drop != SENTRY_KEPT);
        return;
    }
    assert(event.time_ms >= 0);
    assert(event.exception_count <= EVENT_EXCEPTIONS_MAX);
    assert(event.fingerprint_count <= EVENT_FINGERPRINT_MAX);
    assert(event.tag_count <= EVENT_TAGS_MAX);
    for (size_t i = 0; i < event.exception_count; i++)
        assert(event.exceptions[i].frame_count <= EVENT_FRAMES_MAX);
    struct buffer text;
    buffer_init(&text, FINGERPRINT_PARTS_MAX);
    fingerprint_of(&event, SLICE("p"), &text, once);
    buffer_reset(&text);
    fingerprint_of(&event, SLICE("p"), &text, twice);
    assert(memcmp(once, twice, sizeof once) == 0);
    buffer_reset(&text);
    error_event_title(&event, &text);
    assert(text.len > 0);
    buffer_reset(&text);
    error_event_culprit(&event, &text);
    buffer_release(&text);
}

static void check_parameterised(struct slice text)
{
    struct buffer out;
    buffer_init(&out, 10 * PARAMETERISE_BYTES_MAX + 16);
    parameterise(text, &out);
    assert(!out.overflow);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct json_parser *parser = json_parser_new(EVENT_BYTES_MAX);
    struct arena arena;
    struct envelope envelope;
    struct envelope_item item;
    struct error err = {0};
    arena_init(&arena, 4 << 20);
    check_parameterised(text);
    check_event(text, parser, &arena);
    if (envelope_open(text, parser, &arena, &envelope, &err) == 0) {
        assert(envelope.event_id.len == 0 || envelope.event_id.len == EVENT_ID_LEN);
        for (size_t before = envelope.next; envelope_next(&envelope, &item);) {
            assert(envelope.next > before && envelope.next <= size);
            assert(item.offset >= before && item.offset < envelope.next);
            before = envelope.next;
            if (item.drop != SENTRY_KEPT)
                continue;
            assert(envelope.items <= ENVELOPE_ITEMS_MAX);
            assert(item.payload.at >= text.at &&
                   item.payload.at + item.payload.len <= text.at + size);
            check_event(item.payload, parser, &arena);
        }
    } else {
        assert(err.kind != ERROR_NONE && err.text[0]);
    }
    arena_release(&arena);
    json_parser_free(parser);
    return 0;
}
