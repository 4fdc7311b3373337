/* state: the life of one alert (one rule, one label set) as a pure function of time.
 *
 * inactive -> pending -> firing -> resolved, with the semantics of Prometheus: `for` holds an alert
 * back, `keep_firing_for` holds it up, a resolved one is remembered for 15 minutes. Besides the
 * phase, the state knows what receivers were last told; comparing the two says what to send, so a
 * message that could not be queued is simply found due again at the next evaluation.
 * Plain data, no clock. Any thread.
 */
#ifndef SERVER_ALERT_STATE_H
#define SERVER_ALERT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define ALERT_RESOLVED_KEPT_MS (15 * INT64_C(60000))
#define ALERT_REPEAT_MS        (4 * INT64_C(3600000))

enum alert_phase { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING, ALERT_RESOLVED };
enum alert_word { ALERT_SAY_NOTHING, ALERT_SAY_FIRING, ALERT_SAY_RESOLVED };

/* Times are in ms since 1970; 0 = never. An all-zero state is an inactive alert. */
struct alert_state {
    enum alert_phase phase;
    enum alert_word told; /* what receivers heard last */
    int64_t active_at_ms; /* first true evaluation */
    int64_t fired_at_ms;
    int64_t keep_since_ms; /* first miss while keep_firing_for holds it */
    int64_t resolved_at_ms;
    int64_t told_at_ms;
    double value;
};

struct alert_timing {
    int64_t for_ms;
    int64_t keep_firing_for_ms;
};

/* "inactive", "pending", "firing", "inactive" (a resolved alert is inactive to Prometheus). */
const char *alert_phase_name(enum alert_phase phase);
/* Pending or firing. */
bool alert_is_active(enum alert_phase phase);
/* The state after an evaluation at now_ms that did (present) or did not contain the alert.
 * A result in phase ALERT_INACTIVE can be forgotten. */
struct alert_state alert_step(struct alert_state state, const struct alert_timing *timing,
                              int64_t now_ms, bool present);
/* What receivers have to be told now, if anything. */
enum alert_word alert_due(const struct alert_state *state, int64_t now_ms);

#endif
