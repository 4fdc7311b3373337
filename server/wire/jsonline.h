/* jsonline: samples of one series as one line of JSON, in and out, without loss.
 *
 *   {"metric":{"__name__":"x","l":"v"},"type":"counter","values":[1,2.5],"timestamps":[1000,2000]}
 *
 * The form of VictoriaMetrics, whose readers pass over "type". Times are ms. Values are numbers;
 * what JSON has no number for is spelled:
 *
 *   null               NaN, the usual one            "StaleNaN"   a stale marker
 *   "NaN:7ff800..."    another one, by its bits      "Infinity"   "-Infinity"
 *
 * "NaN", "inf", "+Inf" and so on are read as well, in any case. Without a type it is a gauge. A
 * histogram series has "histograms" instead of "values"; a stale marker there is "StaleNaN":
 *
 *   {"schema":6,"zero_threshold":1e-128,"zero_count":0,"count":3,"sum":7.5,"min":1,"max":4,
 *    "positive":[[0,2],[128,1]],"negative":[]}          buckets: [index, count]
 *
 * A set may have "sketches" beside its values: for each of them null, or the hexadecimal digits of the
 * code of the members it counts (storage/sketch.h).
 *
 * Pure; a parser belongs to one thread.
 */
#ifndef SERVER_WIRE_JSONLINE_H
#define SERVER_WIRE_JSONLINE_H

#include "storage/base/json.h"
#include "storage/store.h"

enum jsonline_reject {
    JSONLINE_OK,
    JSONLINE_BAD_JSON,
    JSONLINE_BAD_LABELS,
    JSONLINE_BAD_TYPE,
    JSONLINE_BAD_VALUE,
    JSONLINE_BAD_TIME,
    JSONLINE_BAD_HISTOGRAM,
    JSONLINE_BAD_SKETCH,
    JSONLINE_NO_MEMORY, /* the arena is exhausted */
    JSONLINE_REJECT_COUNT,
};

struct jsonline {
    struct labels labels; /* sorted */
    enum series_kind kind;
    struct store_column column;
};

/* True for a text that begins like an object; the text formats begin with a name or labels. */
bool jsonline_starts(struct slice text);
/* *out lies in the arena. Refused: *err says why, in a sentence. */
enum jsonline_reject jsonline_parse(struct json_parser *parser, struct slice line,
                                    struct arena *arena, struct jsonline *out, struct error *err);
/* Appends the line and its newline. count > 0. */
void jsonline_print(const struct jsonline *line, struct buffer *out);

#endif
