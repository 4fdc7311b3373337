/* alert_state: the life of an alert, told as strips of evaluations one minute apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/alert/state.h"

#define MINUTE 60000
#define START  (1000 * (int64_t)MINUTE)

struct strip {
    const char *what;
    int for_minutes, keep_minutes;
    const char *seen; /* '#' true, '.' missing, one character a minute */
    const char *want; /* phases: i p f r; capital F or R where receivers are told */
};

static const struct strip strips[] = {
    {"for 0 fires at once", 0, 0, ".##.", "iFfR"},
    {"for is met when its age is reached, not passed", 2, 0, "####..", "ppFfRr"},
    {"a pending alert that vanishes is forgotten in silence", 2, 0, "##.###", "ppippF"},
    {"keep_firing_for bridges gaps", 0, 2, "#.#...", "FffffR"},
    {"keep_firing_for ends at its age", 0, 1, "#..", "FfR"},
    {"a resolved alert may return", 0, 0, "#.#.", "FRFR"},
    {"and waits for `for` again", 1, 0, "##.##", "pFRpF"},
    {"resolved is remembered for 15 minutes", 0, 0, "#.................", "FRrrrrrrrrrrrrrrri"},
};

static char letter_of(const struct alert_state *state, enum alert_word word)
{
    char c = "ipfr"[state->phase];
    return word == ALERT_SAY_NOTHING ? c : (char)(c - 'a' + 'A');
}

static void tell(struct alert_state *state, enum alert_word word, int64_t now_ms)
{
    if (word == ALERT_SAY_NOTHING)
        return;
    state->told = word;
    state->told_at_ms = now_ms;
}

static void follows_the_strips(void **fixture)
{
    (void)fixture;
    for (size_t i = 0; i < sizeof strips / sizeof *strips; i++) {
        const struct strip *s = &strips[i];
        struct alert_timing timing = {s->for_minutes * MINUTE, s->keep_minutes * MINUTE};
        struct alert_state state = {0};
        char got[64] = "";
        for (size_t t = 0; s->seen[t]; t++) {
            int64_t now_ms = START + (int64_t)t * MINUTE;
            state = alert_step(state, &timing, now_ms, s->seen[t] == '#');
            enum alert_word word = alert_due(&state, now_ms);
            got[t] = letter_of(&state, word);
            tell(&state, word, now_ms);
        }
        if (strcmp(got, s->want) != 0)
            fail_msg("%s: %s -> %s, expected %s", s->what, s->seen, got, s->want);
    }
}

static void keeps_its_times(void **fixture)
{
    (void)fixture;
    struct alert_timing timing = {2 * MINUTE, 0};
    struct alert_state state = {0};
    for (int t = 0; t < 4; t++)
        state = alert_step(state, &timing, START + t * MINUTE, true);
    assert_int_equal(state.active_at_ms, START);
    assert_int_equal(state.fired_at_ms, START + 2 * MINUTE);
    state = alert_step(state, &timing, START + 4 * MINUTE, false);
    assert_int_equal(state.resolved_at_ms, START + 4 * MINUTE);
    assert_int_equal(state.fired_at_ms, START + 2 * MINUTE);
}

static void repeats_after_four_hours(void **fixture)
{
    (void)fixture;
    struct alert_timing timing = {0, 0};
    struct alert_state state = alert_step((struct alert_state){0}, &timing, START, true);
    tell(&state, alert_due(&state, START), START);
    assert_int_equal(alert_due(&state, START + ALERT_REPEAT_MS - 1), ALERT_SAY_NOTHING);
    assert_int_equal(alert_due(&state, START + ALERT_REPEAT_MS), ALERT_SAY_FIRING);
}

static void untold_stays_due(void **fixture)
{
    (void)fixture;
    struct alert_timing timing = {0, 0};
    struct alert_state state = alert_step((struct alert_state){0}, &timing, START, true);
    state = alert_step(state, &timing, START + MINUTE, true);
    assert_int_equal(alert_due(&state, START + MINUTE), ALERT_SAY_FIRING);
    /* Never told that it fired: nobody needs to hear that it no longer does. */
    state = alert_step(state, &timing, START + 2 * MINUTE, false);
    assert_int_equal(alert_due(&state, START + 2 * MINUTE), ALERT_SAY_NOTHING);
    state.told = ALERT_SAY_FIRING;
    assert_int_equal(alert_due(&state, START + 3 * MINUTE), ALERT_SAY_RESOLVED);
}

static void goes_back_when_for_is_raised(void **fixture)
{
    (void)fixture;
    struct alert_timing timing = {0, 0};
    struct alert_state state = alert_step((struct alert_state){0}, &timing, START, true);
    tell(&state, alert_due(&state, START), START);
    timing.for_ms = 5 * MINUTE;
    state = alert_step(state, &timing, START + MINUTE, true);
    assert_int_equal(state.phase, ALERT_PENDING);
    assert_int_equal(alert_due(&state, START + MINUTE), ALERT_SAY_RESOLVED);
    assert_int_equal(state.active_at_ms, START);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_strips),           cmocka_unit_test(keeps_its_times),
        cmocka_unit_test(repeats_after_four_hours),     cmocka_unit_test(untold_stays_due),
        cmocka_unit_test(goes_back_when_for_is_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
