/* damage: see the header. The list is short and seldom grows, so it is searched from end to end.
 */
#include "storage/kv/damage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/log.h"
#include "storage/base/metric.h"

#define ROW(text)                                                                                  \
    {                                                                                              \
        .name = "lapwing_store_damage", .kind = METRIC_GAUGE, .labels = "part=\"" text "\"",       \
        .help = "Damaged places found in the store since it was opened."                           \
    }
static struct metric damage_metrics[DAMAGE_PART_COUNT] = {
    [DAMAGE_TABLE] = ROW("table"), [DAMAGE_WAL] = ROW("wal"),     [DAMAGE_HEADLOG] = ROW("headlog"),
    [DAMAGE_CHUNK] = ROW("chunk"), [DAMAGE_INDEX] = ROW("index"), [DAMAGE_LOGS] = ROW("logs"),
};

void damages_init(struct damages *damages)
{
    metric_register(damage_metrics, DAMAGE_PART_COUNT);
    damages->count = damages->left_out = 0;
    pthread_mutex_init(&damages->lock, NULL);
}

void damages_release(struct damages *damages)
{
    pthread_mutex_destroy(&damages->lock);
}

/* True when the sentence is new. */
static bool add(struct damages *damages, const char *text)
{
    for (size_t i = 0; i < damages->count; i++)
        if (strcmp(damages->at[i], text) == 0)
            return false;
    if (damages->count == DAMAGES_MAX)
        damages->left_out++;
    else
        memcpy(damages->at[damages->count++], text, strlen(text) + 1);
    return true;
}

void damage_note(struct damages *damages, enum damage_part part, const char *format, ...)
{
    char text[DAMAGE_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&damages->lock);
    bool fresh = add(damages, text);
    pthread_mutex_unlock(&damages->lock);
    if (!fresh)
        return;
    metric_add(&damage_metrics[part], 1);
    log_error("damage", "error=\"%s\"", text);
}

size_t damages_get(struct damages *damages, size_t skip, char text[DAMAGE_TEXT_BYTES])
{
    text[0] = 0;
    pthread_mutex_lock(&damages->lock);
    size_t count = damages->count + damages->left_out;
    if (skip < damages->count)
        memcpy(text, damages->at[skip], DAMAGE_TEXT_BYTES);
    pthread_mutex_unlock(&damages->lock);
    return count;
}
