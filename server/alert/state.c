/* state: the transitions as a table; the first row that fits is taken.
 *
 *                 true                 held for `for`              missing
 *   inactive ------------> pending -------------------> firing ------------> resolved
 *      ^                     | missing                   |  ^ missing within    | 15 min
 *      +---------------------+---------------------------|--+ keep_firing_for   |
 *      +-------------------------------------------------|----------------------+
 *                                                        | a reload raised `for` above its age
 *                                                        +--> pending
 *
 * What is sent is no property of a transition: alert_due compares the phase with what was told last.
 * Deliberately absent: no-data and error states. A query error never reaches this file.
 */
#include "server/alert/state.h"

#include <assert.h>
#include <stddef.h>

struct moment {
    const struct alert_state *state;
    const struct alert_timing *timing;
    int64_t now_ms;
};

static bool always(const struct moment *m)
{
    (void)m;
    return true;
}

static bool has_no_for(const struct moment *m)
{
    return m->timing->for_ms <= 0;
}

static bool is_held(const struct moment *m)
{
    return m->now_ms - m->state->active_at_ms >= m->timing->for_ms;
}

static bool is_younger_than_for(const struct moment *m)
{
    return m->now_ms - m->state->active_at_ms < m->timing->for_ms;
}

static bool keeps_firing(const struct moment *m)
{
    int64_t since_ms = m->state->keep_since_ms ? m->state->keep_since_ms : m->now_ms;
    return m->now_ms - since_ms < m->timing->keep_firing_for_ms;
}

static bool is_old_news(const struct moment *m)
{
    return m->now_ms - m->state->resolved_at_ms > ALERT_RESOLVED_KEPT_MS;
}

enum effect {
    BEGIN = 1, /* active_at = now; earlier fired, keep and resolved times are cleared */
    FIRE = 2,  /* fired_at = now */
    MISS = 4,  /* keep_since = now, unless set */
    HIT = 8,   /* keep_since = never */
    END = 16,  /* resolved_at = now */
};

static const struct transition {
    enum alert_phase from;
    bool present;
    bool (*when)(const struct moment *m);
    enum alert_phase to;
    unsigned effects;
} transitions[] = {
    {ALERT_INACTIVE, true, has_no_for, ALERT_FIRING, BEGIN | FIRE},
    {ALERT_INACTIVE, true, always, ALERT_PENDING, BEGIN},
    {ALERT_INACTIVE, false, always, ALERT_INACTIVE, 0},
    {ALERT_PENDING, true, is_held, ALERT_FIRING, FIRE},
    {ALERT_PENDING, true, always, ALERT_PENDING, 0},
    {ALERT_PENDING, false, always, ALERT_INACTIVE, 0},
    {ALERT_FIRING, true, is_younger_than_for, ALERT_PENDING, HIT | END},
    {ALERT_FIRING, true, always, ALERT_FIRING, HIT},
    {ALERT_FIRING, false, keeps_firing, ALERT_FIRING, MISS},
    {ALERT_FIRING, false, always, ALERT_RESOLVED, END},
    {ALERT_RESOLVED, true, has_no_for, ALERT_FIRING, BEGIN | FIRE},
    {ALERT_RESOLVED, true, always, ALERT_PENDING, BEGIN},
    {ALERT_RESOLVED, false, is_old_news, ALERT_INACTIVE, 0},
    {ALERT_RESOLVED, false, always, ALERT_RESOLVED, 0},
};

static void apply(struct alert_state *state, unsigned effects, int64_t now_ms)
{
    if (effects & BEGIN) {
        state->active_at_ms = now_ms;
        state->fired_at_ms = state->keep_since_ms = state->resolved_at_ms = 0;
    }
    if (effects & FIRE)
        state->fired_at_ms = now_ms;
    if ((effects & MISS) && !state->keep_since_ms)
        state->keep_since_ms = now_ms;
    if (effects & HIT)
        state->keep_since_ms = 0;
    if (effects & END)
        state->resolved_at_ms = now_ms;
}

struct alert_state alert_step(struct alert_state state, const struct alert_timing *timing,
                              int64_t now_ms, bool present)
{
    struct moment moment = {&state, timing, now_ms};
    const struct transition *row = transitions;
    while (row->from != state.phase || row->present != present || !row->when(&moment)) {
        row++;
        assert(row < transitions + sizeof transitions / sizeof *transitions);
    }
    apply(&state, row->effects, now_ms);
    state.phase = row->to;
    return state;
}

enum alert_word alert_due(const struct alert_state *state, int64_t now_ms)
{
    if (state->phase != ALERT_FIRING)
        return state->told == ALERT_SAY_FIRING ? ALERT_SAY_RESOLVED : ALERT_SAY_NOTHING;
    if (state->told != ALERT_SAY_FIRING || now_ms - state->told_at_ms >= ALERT_REPEAT_MS)
        return ALERT_SAY_FIRING;
    return ALERT_SAY_NOTHING;
}

bool alert_is_active(enum alert_phase phase)
{
    return phase == ALERT_PENDING || phase == ALERT_FIRING;
}

const char *alert_phase_name(enum alert_phase phase)
{
    static const char *const names[] = {
        [ALERT_INACTIVE] = "inactive",
        [ALERT_PENDING] = "pending",
        [ALERT_FIRING] = "firing",
        [ALERT_RESOLVED] = "inactive",
    };
    return names[phase];
}
