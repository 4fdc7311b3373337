/* logbatch: what is accepted is kept, what is refused leaves no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/ingest/logbatch.h"
#include "storage/base/clock.h"

static const char *const refused[] = {
    "",
    "no JSON at all",
    "{\"service\":\"api\",",
    "[1,2,3]",
    "{\"service\":\"api\",\"time\":\"1999-01-01T00:00:00Z\"}",
    "{\"service\":\"api\",\"time\":\"2200-01-01T00:00:00Z\"}",
};

static enum jsonlog_status add(struct logbatch *batch, struct jsonlog *parser, const char *text)
{
    struct error why = {0};
    char line[100];
    strcpy(line, text);
    enum jsonlog_status status = logbatch_add(batch, parser, slice_of_string(line), &why);
    memset(line, 'x', sizeof line); /* the receiver's memory is used again */
    return status;
}

/* A sender of nothing but refused lines must not fill the memory that others need. */
static void refused_lines_leave_no_trace(void **state)
{
    (void)state;
    struct logbatch batch;
    struct jsonlog *parser = jsonlog_new(1000);
    clock_set_ms(1700000000000);
    logbatch_init(&batch);
    batch.copies_lines = true;
    logbatch_set_window(parser, 3600000);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_not_equal(add(&batch, parser, refused[i]), JSONLOG_OK);
    assert_int_equal(batch.count, 0);
    assert_int_equal(batch.arena.used, 0);
    assert_int_equal(add(&batch, parser, "{\"service\":\"api\"}"), JSONLOG_OK);
    assert_int_equal(batch.count, 1);
    assert_true(slice_equal_string(batch.records[0].line, "{\"service\":\"api\"}"));
    assert_int_equal(batch.bytes, batch.records[0].line.len);
    logbatch_reset(&batch);
    assert_int_equal(batch.count, 0);
    logbatch_release(&batch);
    jsonlog_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refused_lines_leave_no_trace)};
    return cmocka_run_group_tests_name("logbatch", tests, NULL, NULL);
}
