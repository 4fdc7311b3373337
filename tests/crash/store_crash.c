/* store_crash: kill -9 at any point of the store's life, thousands of times on one directory, and after
 * each the whole store against what was acknowledged.
 *
 *   build/release/tests/crash/store_crash -n 1000 [-s SEED] [-d DIRECTORY] [-v]
 *
 *   parent  remembers ────────────────────────────────────────────────────────────────> next round
 *             │ fork         journal in shared memory: begun, done, synced      │ applies what was kept
 *   child     open ── compare ── commit, maintain, seal, ... one after the other ── killed
 *
 * A child opens what the last one left, finds out which of its operations are there (each commit
 * writes its number), and compares everything with the model; then it goes on itself until it dies:
 * at a random instant, or in a phase that was chosen, before the n-th call that changes a file or
 * in the middle of a write (death.c). What was acknowledged must be there; what was not may be,
 * whole; nothing else may be. Children also die while they open and while they compare.
 *
 * Some rounds end in a loss of power: what the newest of the database's logs got since it was last
 * synced is cut off at a random byte. Then operations may be missing from some point on, but not
 * one that a sync came after. (The parent never opens a store: RocksDB's threads do not survive a
 * fork.)
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "tests/crash/crash.h"
#include "tests/unit/scratch_dir.h"

#define PATH_BYTES   4096
#define LIFE_US      120000 /* what a child gets to live at most, after comparing */
#define HANG_SECONDS 60

/* Operations of the last life, of which it is not known yet what is there. */
struct pending {
    struct entry *at;
    size_t count;
    size_t needed; /* those below must be there */
    int64_t now_ms;
};

struct harness {
    uint64_t seed;
    char directory[PATH_BYTES];
    bool verbose;
    struct model model;
    struct pending pending;
    struct op op;
    int kills[PHASE_COUNT];
    int cuts, stops;
    uint64_t kept, gone;
    uint64_t operations;
};

/* --- the child --- */

static _Noreturn void fail(const struct error *err)
{
    fprintf(stderr, "crash: %s\n", err->text);
    _exit(1);
}

static void apply(struct harness *h, struct entry entry)
{
    op_make(&h->model, entry.kind, entry.seed, &h->op);
    model_apply(&h->model, &h->op);
}

/* What a life does, as it does it; for a look at one that went wrong. */
static void tell(const struct op *op, size_t number)
{
    const struct deletion *deletion = &op->deletion;
    fprintf(stderr, "  %zu at %lld: %s", number, (long long)op->now_ms, op_names[op->kind]);
    if (op->kind == OP_DELETE)
        fprintf(stderr, " %s %u from %lld to %lld", deletion->group ? "group" : "series",
                deletion->number, (long long)deletion->start_ms, (long long)deletion->end_ms);
    if (op->kind == OP_BULK && op->sample_count)
        fprintf(stderr, " %zu from %lld", op->sample_count,
                (long long)op->samples[0].sample.time_ms);
    fputc('\n', stderr);
}

/* Time never goes back, even where the operation that was told it is gone. */
static void move_clock(struct harness *h)
{
    if (h->pending.now_ms > h->model.now_ms)
        h->model.now_ms = h->pending.now_ms;
    model_expect_retention(&h->model, h->pending.now_ms);
}

static void compare_after_death(struct harness *h, struct store *store)
{
    struct error err = {0};
    struct prefix prefix = {h->pending.at, h->pending.count, h->pending.needed, h->pending.now_ms};
    int64_t kept = compare_prefix(&h->model, store, &prefix, &err);
    if (kept < 0)
        fail(&err);
    move_clock(h);
    shared->kept = (size_t)kept;
    atomic_store(&shared->compared, true);
}

static void live(struct harness *h, struct store *store, uint64_t random, enum op_kind favourite)
{
    size_t most = (size_t)random_below(&random, 2000);
    struct error err = {0};
    char backup[PATH_BYTES + 8];
    snprintf(backup, sizeof backup, "%s/backup", h->directory);
    for (size_t i = 0; i < JOURNAL_MAX && i < most; i++) {
        struct entry entry = {random_next(&random), op_choose(&random, favourite)};
        shared->journal[i] = entry;
        op_make(&h->model, entry.kind, entry.seed, &h->op);
        atomic_store(&shared->now_ms, h->op.now_ms);
        atomic_store(&shared->begun, i + 1);
        if (h->verbose)
            tell(&h->op, i);
        if (entry.kind == OP_BACKUP)
            backup_start(store, backup, &h->model);
        else
            op_execute(store, &h->model, &h->op);
        phase_enter(PHASE_READY);
        atomic_store(&shared->done, i + 1);
        if (h->op.sync)
            atomic_store(&shared->synced, i + 1);
        model_apply(&h->model, &h->op);
        if (backup_look(&err))
            fail(&err);
    }
}

static void set_retention(struct store *store)
{
    struct error err = {0};
    struct matcher matcher;
    struct store_retention_rule rule = {.matchers = &matcher, .matcher_count = 1};
    struct store_retention retention = {.rules = &rule, .rule_count = 1};
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
        retention.ms[tier] = retention_days(0, (enum store_tier)tier) * DAY_MS;
        rule.ms[tier] = retention_days(SHORT_GROUP, (enum store_tier)tier) * DAY_MS;
    }
    char group[8];
    snprintf(group, sizeof group, "%d", SHORT_GROUP);
    if (matcher_init(&matcher, MATCH_EQUAL, SLICE("group"), slice_of_string(group), &err) ||
        store_set_retention(store, &retention, &err))
        fail(&err);
    matcher_release(&matcher);
}

static _Noreturn void child(struct harness *h, struct death death, uint64_t random)
{
    struct error err = {0};
    struct store *store;
    char path[PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/data", h->directory);
    struct store_options options = {.path = path,
                                    .series_max = 10000,
                                    .retention_logs_ms = LINE_DAYS * DAY_MS,
                                    .rollup_5m_after_ms = 2 * DAY_MS,
                                    .chunk_samples = 12,
                                    .disk_reserve_bytes = 1};
    alarm(HANG_SECONDS);
    log_set_level(h->verbose ? LOG_INFO : LOG_WARN);
    clock_set_ms(h->model.now_ms);
    death_plan(death);
    phase_enter(PHASE_OPEN);
    if (store_open(&options, &store, &err))
        fail(&err);
    set_retention(store);
    phase_enter(PHASE_COMPARE);
    compare_after_death(h, store);
    death_at(random_below(&random, LIFE_US) + (death.phase == PHASE_BACKUP ? 6 : 1) * LIFE_US);
    phase_enter(PHASE_READY);
    live(h, store, random, op_of_phase(death.phase));
    while (shared->backing_up) /* the store must outlive it */
        usleep(1000);
    phase_enter(PHASE_STOP);
    store_close(store);
    _exit(0);
}

/* --- the parent --- */

static struct death choose_death(uint64_t *random)
{
    static const enum phase targets[] = {
        PHASE_OPEN,    PHASE_OPEN,     PHASE_COMPARE,  PHASE_READY,    PHASE_READY,
        PHASE_COMMIT,  PHASE_COMMIT,   PHASE_LATE,     PHASE_LATE,     PHASE_BULK,
        PHASE_BULK,    PHASE_MAINTAIN, PHASE_MAINTAIN, PHASE_MAINTAIN, PHASE_RETENTION,
        PHASE_CLOSING, PHASE_CLOSING,  PHASE_SEAL,     PHASE_SEAL,     PHASE_COMPACT,
        PHASE_COMPACT, PHASE_DELETE,   PHASE_DELETE,   PHASE_DELETE,   PHASE_CLEAN,
        PHASE_CLEAN,   PHASE_BACKUP,   PHASE_BACKUP,   PHASE_BACKUP,   PHASE_STOP,
    };
    size_t count = sizeof targets / sizeof *targets;
    struct death death = {.phase = targets[random_below(random, (int64_t)count)]};
    death.again = death.phase > PHASE_READY && death.phase != PHASE_BACKUP;
    death.kind = (enum death_kind)random_below(random, 3);
    if (death.phase == PHASE_READY || death.phase == PHASE_COMPARE)
        death.kind = DEATH_INSTANT;
    int64_t longest = death.kind == DEATH_INSTANT ? shared->longest_us[death.phase]
                                                  : shared->longest_calls[death.phase];
    /* The longest is far from what is common. */
    longest = random_below(random, longest + 1);
    death.after = random_below(random, longest + (death.kind == DEATH_INSTANT ? 100 : 2));
    if (death.phase == PHASE_READY)
        death.after = random_below(random, LIFE_US);
    if (death.phase == PHASE_BACKUP && random_below(random, 2))
        death.after = LIFE_US * 10; /* after it, if any */
    if (death.phase == PHASE_COMMIT || death.phase == PHASE_MAINTAIN)
        death.visit = (int)random_below(random, 40);
    if (death.phase == PHASE_SEAL || death.phase == PHASE_LATE || death.phase == PHASE_BULK)
        death.visit = (int)random_below(random, 6);
    return death;
}

/* The directory as the child left it, for a look at what went wrong; hard links, which is enough
 * because the database never changes a file it finds. */
static void keep_links(const struct harness *h)
{
    char from[PATH_BYTES + 8], to[PATH_BYTES + 8], source[2 * PATH_BYTES], copy[2 * PATH_BYTES];
    snprintf(from, sizeof from, "%s/data", h->directory);
    snprintf(to, sizeof to, "%s/before", h->directory);
    scratch_dir_remove(to);
    DIR *directory = opendir(from);
    if (!directory || mkdir(to, 0700))
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(copy, sizeof copy, "%s/%s", to, entry->d_name);
        if (entry->d_name[0] != '.' && link(source, copy))
            perror("crash: link");
    }
    closedir(directory);
}

/* Cuts the newest log behind what was synced of it. False: there was nothing to cut. */
static bool lose_power(struct harness *h, uint64_t *random)
{
    char path[PATH_BYTES + 8], newest[2 * PATH_BYTES] = "";
    struct stat file;
    snprintf(path, sizeof path, "%s/data", h->directory);
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    unsigned long best = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char *rest;
        unsigned long number = strtoul(entry->d_name, &rest, 10);
        if (strcmp(rest, ".log") != 0 || number < best)
            continue;
        best = number;
        snprintf(newest, sizeof newest, "%s/%s", path, entry->d_name);
    }
    closedir(directory);
    if (!newest[0] || stat(newest, &file))
        return false;
    int64_t synced = file.st_ino == shared->log_inode ? (int64_t)shared->log_synced : 0;
    if (synced >= file.st_size)
        return false;
    if (truncate(newest, synced + random_below(random, file.st_size - synced)))
        return false;
    h->cuts++;
    return true;
}

/* What the dead one did becomes what is to be looked at. */
static void take_over(struct harness *h, uint64_t *random)
{
    if (!shared->compared)
        return; /* it died before it did anything: the question is still open */
    struct pending *pending = &h->pending;
    for (size_t i = 0; i < shared->kept; i++)
        apply(h, pending->at[i]);
    h->kept += shared->kept > pending->needed ? shared->kept - pending->needed : 0;
    h->gone += pending->count - shared->kept;
    move_clock(h);
    h->operations += shared->done;
    pending->count = shared->begun;
    pending->now_ms = shared->now_ms;
    memcpy(pending->at, shared->journal, pending->count * sizeof *pending->at);
    bool power_loss = random_below(random, 10) == 0 && lose_power(h, random);
    pending->needed = power_loss ? shared->synced : shared->done;
}

static void reset_shared(void)
{
    shared->begun = shared->done = shared->synced = 0;
    shared->now_ms = 0;
    shared->compared = shared->backing_up = false;
    shared->kept = 0;
    shared->log_inode = shared->log_synced = 0;
}

/* One life and its end. False when it did not end as it should. */
static bool one_round(struct harness *h, int number)
{
    static const char *const kinds[] = {"instant", "call", "torn"};
    uint64_t random = (h->seed + (uint64_t)number) * 0x9e3779b97f4a7c15ull | 1;
    random_next(&random);
    struct death death = choose_death(&random);
    int status;
    reset_shared();
    keep_links(h);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(h, death, random);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    enum phase phase = shared->backing_up ? PHASE_BACKUP : (enum phase)shared->phase;
    if (h->verbose)
        fprintf(stderr, "%d: planned %s %s visit %d after %lld; died in %s with %zu of %zu done\n",
                number, phase_names[death.phase], kinds[death.kind], death.visit,
                (long long)death.after, phase_names[phase], (size_t)shared->done,
                (size_t)shared->begun);
    bool stopped = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!stopped && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
        fprintf(stderr,
                "crash: round %d of seed %llu ended in %s with status %#x; see %s/data and, "
                "as it was before this round, %s/before\n",
                number, (unsigned long long)h->seed, phase_names[phase], (unsigned)status,
                h->directory, h->directory);
        return false;
    }
    h->stops += stopped;
    h->kills[phase] += !stopped;
    take_over(h, &random);
    return true;
}

static int report(const struct harness *h, double seconds)
{
    int kills = 0;
    const char *comma = "";
    for (int i = 0; i < PHASE_COUNT; i++)
        kills += h->kills[i];
    printf(
        "%llu operations; %llu samples, %llu buckets, %llu lines compared; unanswered at the "
        "kill: %llu kept, %llu gone; %llu backups compared, %d losses of power, %d proper stops; "
        "%.0f s, %.1f kills a second\n",
        (unsigned long long)h->operations, (unsigned long long)shared->samples,
        (unsigned long long)shared->buckets, (unsigned long long)shared->lines,
        (unsigned long long)h->kept, (unsigned long long)h->gone,
        (unsigned long long)shared->backups, h->cuts, h->stops, seconds, kills / seconds);
    printf("crash: %d kills (", kills);
    for (int i = 0; i < PHASE_COUNT; i++) {
        if (h->kills[i] == 0)
            continue;
        printf("%s%d in %s", comma, h->kills[i], phase_names[i]);
        comma = ", ";
    }
    printf("): 0 lost, 0 wrong, 0 doubled\n");
    return 0;
}

static int run(struct harness *h, int kills)
{
    int64_t start = clock_monotonic_ns();
    for (int round = 1, died = 0; died < kills; round++) {
        int stops = h->stops;
        if (!one_round(h, round))
            return 1;
        died += h->stops == stops;
    }
    return report(h, (double)(clock_monotonic_ns() - start) / 1e9);
}

int main(int argc, char **argv)
{
    static struct harness h = {.seed = 1};
    int kills = 100;
    for (int option; (option = getopt(argc, argv, "n:s:d:v")) != -1;) {
        if (option == 'n')
            kills = (int)strtol(optarg, NULL, 10);
        else if (option == 's')
            h.seed = strtoull(optarg, NULL, 10);
        else if (option == 'd')
            snprintf(h.directory, sizeof h.directory, "%s", optarg);
        else if (option == 'v')
            h.verbose = true;
        else
            return 2;
    }
    bool own = !h.directory[0];
    if (own && scratch_dir_make(h.directory, "store_crash"))
        return 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    h.pending.at = alloc_zeroed(JOURNAL_MAX, sizeof *h.pending.at);
    model_init(&h.model);
    int status = run(&h, kills);
    if (own && status == 0)
        scratch_dir_remove(h.directory);
    return status;
}
