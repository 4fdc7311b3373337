/* api/alerts: the board, printed while it is held still.
 *
 * Shapes as in Prometheus' web/api/v1; times are RFC 3339, an alert's value is a string in Go's
 * 'e' format. Pages of groups (group_limit) follow the order of the board; the token of a page names the
 * group it begins with.
 */
#include "server/api/alerts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/alert/manager.h"
#include "server/api/prometheus_request.h"
#include "server/notify/message.h"
#include "storage/base/json.h"
#include "storage/base/number.h"

#define WORK_BYTES_MAX ((size_t)1 << 20) /* one alert's decoded labels */
#define TOKEN_SIZE     33                /* NUL included */

enum rule_type { RULE_ANY, RULE_ALERTING, RULE_RECORDING };

struct rendering {
    const struct http_request *request;
    struct json_writer json;
    struct arena work; /* reset for each alert */
    enum rule_type type;
    bool exclude_alerts;
    struct api_selectors matching; /* labels of rules; none: all */
    size_t group_limit;            /* 0: none */
    struct slice token;            /* of the first group wanted; empty: of all */
    bool token_met;
};

static void put_labels(struct json_writer *w, const char *key, struct labels labels)
{
    json_key(w, slice_of_string(key));
    labels_put_json(labels, w);
}

static void put_encoded(struct rendering *r, const char *key, struct slice bytes)
{
    struct labels labels;
    if (!labels_decode(bytes, &r->work, &labels))
        labels = (struct labels){NULL, 0};
    put_labels(&r->json, key, labels);
}

static void put_time(struct json_writer *w, const char *key, int64_t time_ms)
{
    char text[TIME_TEXT_MAX];
    json_field_string(w, key, slice_of_string(time_text(time_ms, text)));
}

static void put_seconds(struct json_writer *w, const char *key, int64_t ns)
{
    json_field_double(w, key, (double)ns / 1e9);
}

/* Shortest digits in Go's 'e' form, a string: "1e+00". */
static void put_value(struct json_writer *w, const char *key, double value)
{
    char text[40];
    struct buffer special;
    for (int precision = 0; isfinite(value) && precision < 18; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buffer_init(&special, NUMBER_TEXT_MAX);
    if (!isfinite(value))
        number_print(value, NUMBER_TEXT, &special);
    json_field_string(w, key, special.len ? buffer_slice(&special) : slice_of_string(text));
    buffer_release(&special);
}

/* --- one alert --- */

static void put_alert(struct rendering *r, const struct table_entry *e)
{
    struct json_writer *w = &r->json;
    const struct alert_instance *instance = e->value.pointer;
    const struct alert_state *state = &instance->state;
    if (!alert_is_active(state->phase))
        return;
    arena_reset(&r->work);
    json_begin_object(w);
    put_encoded(r, "labels", table_key(e));
    put_encoded(r, "annotations", instance->annotations);
    json_field_string(w, "state", slice_of_string(alert_phase_name(state->phase)));
    put_time(w, "activeAt", state->active_at_ms);
    if (state->keep_since_ms)
        put_time(w, "keepFiringSince", state->keep_since_ms);
    put_value(w, "value", state->value);
    json_end_object(w);
}

static void put_listed_alert(struct rendering *r, const struct table_entry *e)
{
    struct json_writer *w = &r->json;
    const struct alert_instance *instance = e->value.pointer;
    const struct alert_state *state = &instance->state;
    struct labels labels;
    char id[17];
    arena_reset(&r->work);
    if (!alert_is_active(state->phase) || !labels_decode(table_key(e), &r->work, &labels))
        return;
    snprintf(id, sizeof id, "%016llx", (unsigned long long)labels_fingerprint(labels));
    json_begin_object(w);
    json_field_string(w, "id", slice_of_string(id));
    json_field_string(w, "name", labels_get(labels, SLICE("alertname")));
    json_field_string(w, "severity", labels_get(labels, SLICE("severity")));
    json_field_string(w, "status", slice_of_string(alert_phase_name(state->phase)));
    put_time(w, "since", state->active_at_ms);
    json_field_double(w, "value", state->value);
    put_labels(w, "labels", labels);
    put_encoded(r, "annotations", instance->annotations);
    json_end_object(w);
}

static void put_alerts_of(struct rendering *r, const struct rule_run *run,
                          void (*put)(struct rendering *r, const struct table_entry *e))
{
    size_t cursor = 0;
    for (struct table_entry *e; (e = table_next(&run->instances, &cursor));)
        put(r, e);
}

static void put_all_alerts(struct rendering *r, const struct alert_board *board,
                           void (*put)(struct rendering *r, const struct table_entry *e))
{
    json_key(&r->json, SLICE("alerts"));
    json_begin_array(&r->json);
    for (size_t g = 0; g < board->count; g++)
        for (size_t i = 0; i < board->groups[g].group->count; i++)
            put_alerts_of(r, &board->groups[g].rules[i], put);
    json_end_array(&r->json);
}

/* --- rules --- */

static void put_alerting(struct rendering *r, const struct rule_run *run)
{
    struct json_writer *w = &r->json;
    const struct rule *rule = run->rule;
    json_field_string(w, "state", slice_of_string(alert_phase_name(rule_run_phase(run))));
    json_field_string(w, "name", rule->name);
    json_field_string(w, "query", rule->query);
    json_field_double(w, "duration", (double)rule->for_ms / 1000);
    json_field_double(w, "keepFiringFor", (double)rule->keep_firing_for_ms / 1000);
    put_labels(w, "labels", rule->labels);
    put_labels(w, "annotations", rule->annotations);
    json_key(w, SLICE("alerts"));
    json_begin_array(w);
    if (!r->exclude_alerts)
        put_alerts_of(r, run, put_alert);
    json_end_array(w);
}

static void put_recording(struct rendering *r, const struct rule *rule)
{
    json_field_string(&r->json, "name", rule->name);
    json_field_string(&r->json, "query", rule->query);
    if (rule->labels.count)
        put_labels(&r->json, "labels", rule->labels);
}

static void put_rule(struct rendering *r, const struct rule_run *run)
{
    struct json_writer *w = &r->json;
    json_begin_object(w);
    if (run->rule->recording)
        put_recording(r, run->rule);
    else
        put_alerting(r, run);
    json_field_string(w, "health", slice_of_string(rule_health_name(run->health)));
    if (run->problem)
        json_field_string(w, "lastError", slice_of_string(run->problem));
    put_seconds(w, "evaluationTime", run->evaluation_ns);
    put_time(w, "lastEvaluation", run->evaluated_at_ms);
    json_field_string(w, "type", run->rule->recording ? SLICE("recording") : SLICE("alerting"));
    json_end_object(w);
}

/* True when the request does not use this parameter, or names the value. */
static bool is_wanted(const struct http_request *request, const char *param, struct slice value)
{
    bool used = false;
    for (size_t i = 0; i < request->param_count; i++) {
        if (!slice_equal_string(request->params[i].name, param))
            continue;
        if (slice_equal(request->params[i].value, value))
            return true;
        used = true;
    }
    return !used;
}

/* As a selector of series, with the labels that the file gives the rule. */
static bool selects(const struct plan *selector, const struct rule *rule)
{
    for (size_t i = 0; i < selector->selector.matcher_count; i++) {
        const struct matcher *matcher = &selector->selector.matchers[i];
        if (!matcher_accepts(matcher, labels_get(rule->labels, matcher->name)))
            return false;
    }
    return true;
}

static bool is_matched(const struct rendering *r, const struct rule *rule)
{
    for (size_t i = 0; i < r->matching.count; i++)
        if (selects(r->matching.at[i], rule))
            return true;
    return r->matching.count == 0;
}

static bool is_wanted_rule(const struct rendering *r, const struct rule *rule)
{
    return (r->type == RULE_ANY || (r->type == RULE_RECORDING) == rule->recording) &&
           is_wanted(r->request, "rule_name[]", rule->name) && is_matched(r, rule);
}

static bool is_wanted_group(const struct rendering *r, const struct rule_group *group)
{
    if (!is_wanted(r->request, "rule_group[]", group->name) ||
        !is_wanted(r->request, "file[]", group->file))
        return false;
    for (size_t i = 0; i < group->count; i++)
        if (is_wanted_rule(r, &group->rules[i]))
            return true;
    return group->count == 0;
}

static void put_group(struct rendering *r, const struct group_run *run)
{
    struct json_writer *w = &r->json;
    json_begin_object(w);
    json_field_string(w, "name", run->group->name);
    json_field_string(w, "file", run->group->file);
    json_key(w, SLICE("rules"));
    json_begin_array(w);
    for (size_t i = 0; i < run->group->count; i++)
        if (is_wanted_rule(r, run->rules[i].rule))
            put_rule(r, &run->rules[i]);
    json_end_array(w);
    json_field_double(w, "interval", (double)run->group->interval_ms / 1000);
    json_field_int(w, "limit", run->group->limit);
    put_seconds(w, "evaluationTime", run->evaluation_ns);
    put_time(w, "lastEvaluation", run->evaluated_at_ms);
    json_end_object(w);
}

static struct slice group_token(const struct rule_group *group, char text[TOKEN_SIZE])
{
    snprintf(text, TOKEN_SIZE, "%016llx%016llx", (unsigned long long)slice_hash(group->file),
             (unsigned long long)slice_hash(group->name));
    return slice_of_string(text);
}

static void put_groups(const struct alert_board *board, void *arg)
{
    struct rendering *r = arg;
    char text[TOKEN_SIZE];
    size_t shown = 0;
    struct slice next = {NULL, 0};
    json_key(&r->json, SLICE("groups"));
    json_begin_array(&r->json);
    for (size_t g = 0; g < board->count && !next.len; g++) {
        const struct rule_group *group = board->groups[g].group;
        r->token_met = r->token_met || slice_equal(group_token(group, text), r->token);
        if (!r->token_met || !is_wanted_group(r, group))
            continue;
        if (r->group_limit && shown == r->group_limit)
            next = group_token(group, text);
        else
            put_group(r, &board->groups[g]);
        shown++;
    }
    json_end_array(&r->json);
    if (next.len)
        json_field_string(&r->json, "groupNextToken", next);
}

/* --- handlers --- */

static void put_prometheus_alerts(const struct alert_board *board, void *arg)
{
    put_all_alerts(arg, board, put_alert);
}

static void put_list(const struct alert_board *board, void *arg)
{
    put_all_alerts(arg, board, put_listed_alert);
}

/* {"status":"success","data":{...}}, or the braces alone. */
static void render(struct rendering *r, struct http_reply *reply, bool enveloped,
                   void (*visit)(const struct alert_board *board, void *arg))
{
    json_writer_init(&r->json, &reply->body);
    arena_init(&r->work, WORK_BYTES_MAX);
    json_begin_object(&r->json);
    if (enveloped) {
        json_field_string(&r->json, "status", SLICE("success"));
        json_key(&r->json, SLICE("data"));
        json_begin_object(&r->json);
    }
    alerts_visit(r->request->context, visit, r);
    if (enveloped)
        json_end_object(&r->json);
    json_end_object(&r->json);
    arena_release(&r->work);
}

static int read_page(struct rendering *r, struct error *err)
{
    struct slice text;
    uint64_t limit = 0;
    bool limited = http_get_param(r->request, "group_limit", &text) && text.len;
    if (limited && (!slice_to_u64(text, &limit) || limit == 0))
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"group_limit\": it must be a number > 0");
    http_get_param(r->request, "group_next_token", &r->token);
    r->group_limit = (size_t)limit;
    r->token_met = r->token.len == 0;
    if (r->token.len && !limited)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"group_limit\": group_limit needs to be present in "
                         "order to paginate over the groups");
    return 0;
}

static int read_rules_params(struct rendering *r, struct error *err)
{
    struct slice text;
    if (api_selectors(r->request, r->request->arena, &r->matching, err) < 0 ||
        read_page(r, err) < 0)
        return -1;
    if (http_get_param(r->request, "type", &text) && text.len) {
        if (slice_equal_string(text, "alert"))
            r->type = RULE_ALERTING;
        else if (slice_equal_string(text, "record"))
            r->type = RULE_RECORDING;
        else
            return error_set(err, ERROR_BAD_DATA,
                             "invalid parameter \"type\": not supported value \"" SLICE_FMT "\"",
                             SLICE_ARG(slice_head(text, 80)));
    }
    if (http_get_param(r->request, "exclude_alerts", &text))
        r->exclude_alerts =
            slice_equal_nocase(text, SLICE("true")) || slice_equal_string(text, "1");
    return 0;
}

static void handle_rules(const struct http_request *request, struct http_reply *reply)
{
    struct rendering r = {.request = request};
    struct error err = {0};
    if (read_rules_params(&r, &err) < 0) {
        http_refuse_json(reply, &err);
    } else {
        render(&r, reply, true, put_groups);
        if (!r.token_met) {
            error_set(&err, ERROR_BAD_DATA, "invalid group_next_token. were rule groups changed?");
            api_refuse(reply, &err);
        }
    }
    api_selectors_release(&r.matching);
}

static void handle_alerts(const struct http_request *request, struct http_reply *reply)
{
    struct rendering r = {.request = request};
    render(&r, reply, true, put_prometheus_alerts);
}

static void handle_list(const struct http_request *request, struct http_reply *reply)
{
    struct rendering r = {.request = request};
    render(&r, reply, false, put_list);
}

const struct http_route alert_routes[] = {
    {HTTP_GET, "/api/v1/rules", handle_rules, true, http_refuse_json, NULL},
    {HTTP_GET, "/api/v1/alerts", handle_alerts, true, http_refuse_json, NULL},
    {HTTP_GET, "/api/monitoring/alerts", handle_list, true, http_refuse_json, NULL},
};
const size_t alert_route_count = sizeof alert_routes / sizeof *alert_routes;
