/* issue_cache: issues in full, as many as cache_max, least recently used out.
 *
 *   newest <-> entry <-> entry <-> oldest       order of use; `cache` finds by id
 *
 * An issue's document is the truth; an entry is read from it when an event needs it, and written
 * back by the job that changes it. Pinned entries (a commit is under way) are never dropped, so a
 * large group of jobs may exceed cache_max for a moment. When the commit fails the entry is
 * forgotten and the index goes back to what the document says.
 *
 * Beyond issues_max new problems are counted in one issue that says so: totals stay right and
 * nothing older is pushed out by a flood.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/ingest/issue_state.h"
#include "storage/base/alloc.h"

#define PROJECT_SHARED "-"

static void unlink_entry(struct issues *issues, struct issue_entry *entry)
{
    *(entry->newer ? &entry->newer->older : &issues->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &issues->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void link_newest(struct issues *issues, struct issue_entry *entry)
{
    entry->older = issues->newest;
    *(issues->newest ? &issues->newest->newer : &issues->oldest) = entry;
    issues->newest = entry;
}

void issue_entry_drop(struct issues *issues, struct issue_entry *entry)
{
    assert(entry->pins == 0);
    unlink_entry(issues, entry);
    table_remove(&issues->cache, slice_of_string(entry->issue.id), NULL);
    sketch_release(&entry->users);
    free(entry);
}

/* Makes room for one more; pinned entries stay, so that a large group may exceed cache_max. */
static void cache_trim(struct issues *issues)
{
    struct issue_entry *entry = issues->oldest;
    while (entry && issues->cache.count >= issues->options.cache_max) {
        struct issue_entry *newer = entry->newer;
        if (entry->pins == 0)
            issue_entry_drop(issues, entry);
        entry = newer;
    }
}

int issue_load(struct store *store, const char *id, struct issue *out, struct error *err)
{
    struct issue_key key = issue_key_of(id);
    struct buffer value;
    buffer_init(&value, ISSUE_BYTES_MAX);
    int found = store_get(store, issue_key_slice(&key), &value, err);
    if (found > 0 && !issue_decode(buffer_slice(&value), out))
        found = error_set(err, ERROR_INTERNAL,
                          "the document of issue %s is unreadable; restore a backup", id);
    buffer_release(&value);
    return found;
}

/* How users were kept before storage/sketch.h: 'e' and 64-bit hashes, or 'd' and 2^14 registers, whose
 * top bits are those of its own. */
static bool decode_old_users(struct slice bytes, struct sketch *users)
{
    enum { INDEX_BITS = 14, RANKED_BITS = 64 - INDEX_BITS };
    uint8_t form, registers[SKETCH_REGISTERS] = {0};
    struct sketch dense = {.registers = registers};
    uint64_t hash;
    if (!bytes_cut_u8(&bytes, &form))
        return false;
    if (form == 'e' && bytes.len % sizeof hash == 0) {
        while (bytes_cut_u64le(&bytes, &hash))
            sketch_add_hash(users, hash);
        return true;
    }
    if (form != 'd' || bytes.len != 1 << INDEX_BITS)
        return false;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned rank = (unsigned char)bytes.at[i];
        hash = (uint64_t)i << RANKED_BITS;
        if (rank && rank <= RANKED_BITS)
            sketch_add_hash(&dense, hash | (uint64_t)1 << (RANKED_BITS - rank));
    }
    sketch_merge(users, &dense);
    return true;
}

static bool decode_users(struct slice bytes, struct sketch *users)
{
    return sketch_merge_code(users, bytes) || decode_old_users(bytes, users);
}

static int load_users(struct issues *issues, struct issue_entry *entry, struct error *err)
{
    struct issue_key key = issue_users_key(entry->issue.id);
    buffer_reset(&issues->scratch);
    int found = store_get(issues->store, issue_key_slice(&key), &issues->scratch, err);
    if (found > 0 && !decode_users(buffer_slice(&issues->scratch), &entry->users))
        return error_set(err, ERROR_INTERNAL,
                         "the users of issue %s are unreadable; restore a "
                         "backup",
                         entry->issue.id);
    entry->users_saved = (uint64_t)sketch_estimate(&entry->users);
    return found < 0 ? -1 : 0;
}

/* The entry of this id, from the cache or the store; NULL with *err set on errors, NULL alone when
 * there is none. */
static struct issue_entry *entry_find(struct issues *issues, const char *id, struct error *err)
{
    struct table_entry *cached = table_find(&issues->cache, slice_of_string(id));
    if (cached) {
        struct issue_entry *entry = cached->value.pointer;
        unlink_entry(issues, entry);
        link_newest(issues, entry);
        return entry;
    }
    if (!issue_index_find(&issues->index, id))
        return NULL;
    struct issue_entry *entry = alloc_zeroed(1, sizeof *entry);
    sketch_init(&entry->users);
    int found = issue_load(issues->store, id, &entry->issue, err);
    if (found == 0)
        error_set(err, ERROR_INTERNAL, "the document of issue %s is missing", id);
    if (found <= 0 || load_users(issues, entry, err) < 0) {
        sketch_release(&entry->users);
        free(entry);
        return NULL;
    }
    cache_trim(issues);
    bool fresh;
    table_insert(&issues->cache, slice_of_string(id), &fresh)->value.pointer = entry;
    link_newest(issues, entry);
    return entry;
}

static void make_id(const uint8_t hash[FINGERPRINT_SIZE], char id[ISSUE_ID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ISSUE_ID_LEN; i++)
        id[i] = digits[(hash[i / 2] >> (i % 2 ? 0 : 4)) & 15];
    id[ISSUE_ID_LEN] = '\0';
}

static struct issue_entry *entry_new(struct issues *issues, const char *id,
                                     const struct issue_event *event)
{
    struct issue_entry *entry = alloc_zeroed(1, sizeof *entry);
    struct issue *issue = &entry->issue;
    sketch_init(&entry->users);
    memcpy(issue->id, id, sizeof issue->id);
    memcpy(issue->hash, event->hash, sizeof issue->hash);
    issue_text_copy(issue->project, sizeof issue->project, event->project);
    issue_text_copy(issue->title, sizeof issue->title, event->title);
    issue_text_copy(issue->culprit, sizeof issue->culprit, event->culprit);
    issue_text_copy(issue->type, sizeof issue->type, event->type);
    issue_text_copy(issue->value, sizeof issue->value, event->value);
    issue_text_copy(issue->first_release, sizeof issue->first_release, event->release);
    issue->first_seen_ms = event->time_ms;
    cache_trim(issues);
    bool fresh;
    table_insert(&issues->cache, slice_of_string(id), &fresh)->value.pointer = entry;
    link_newest(issues, entry);
    return entry;
}

/* The issue that takes what exceeds issues_max. */
static struct issue_entry *entry_overflow(struct issues *issues, const struct issue_event *event,
                                          struct error *err)
{
    char id[ISSUE_ID_LEN + 1];
    struct issue_event shared = {.project = SLICE(PROJECT_SHARED), .time_ms = event->time_ms};
    memset(shared.hash, 0xff, sizeof shared.hash);
    make_id(shared.hash, id);
    metric_add(&issue_metrics[ISSUES_OVERFLOW], 1);
    struct issue_entry *entry = entry_find(issues, id, err);
    if (entry || (err && err->kind != ERROR_NONE))
        return entry;
    shared.title = SLICE("Too many issues: new problems are counted here until old ones expire");
    entry = entry_new(issues, id, &shared);
    int put = issue_index_put(&issues->index, &entry->issue);
    assert(put == 0); /* the index has one place more than issues_max */
    return entry;
}

struct issue_entry *issue_entry_of(struct issues *issues, const struct issue_event *event,
                                   struct error *err)
{
    char id[ISSUE_ID_LEN + 1];
    struct error fault = {.kind = ERROR_NONE};
    make_id(event->hash, id);
    struct issue_entry *entry = entry_find(issues, id, &fault);
    if (!entry && fault.kind == ERROR_NONE) {
        if (issues->index.count >= issues->options.issues_max) {
            entry = entry_overflow(issues, event, &fault);
        } else {
            entry = entry_new(issues, id, event);
            int put = issue_index_put(&issues->index, &entry->issue);
            assert(put == 0);
        }
    }
    if (!entry)
        error_set(err, fault.kind, "%s", fault.text);
    return entry;
}

/* Forgets an issue whose changes were not committed; the index goes back to the document. */
static void entry_revert(struct issues *issues, struct issue_entry *entry)
{
    struct issue committed;
    char id[ISSUE_ID_LEN + 1];
    memcpy(id, entry->issue.id, sizeof id);
    issue_entry_drop(issues, entry);
    int found = issue_load(issues->store, id, &committed, NULL);
    if (found <= 0 || issue_index_put(&issues->index, &committed) < 0)
        issue_index_remove(&issues->index, id);
}

void issue_entry_unpin(struct issues *issues, struct issue_entry *entry, bool failed)
{
    entry->stale |= failed;
    entry->pins--;
    /* A count of 0: made by a job that was refused later on. */
    if (entry->pins == 0 && (entry->stale || entry->issue.count == 0))
        entry_revert(issues, entry);
}
