/* death: ends this process with SIGKILL where it was told to.
 *
 *   at an instant   a timer of the kernel's that sends SIGKILL: in the middle of anything
 *   at a call       before the n-th write, sync, rename, link, unlink or truncation, of whichever
 *                   thread: between any two changes of the disk, one by one
 *   torn            in the middle of that write: half of it is there
 *
 * For that the calls of the database are ours first: a program's own functions come before those of
 * the C library for every library that it loads. What has been synced of the database's log is noted
 * on the way, so that the parent may cut off what a power loss could take.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/clock.h"
#include "tests/crash/crash.h"

struct shared *shared;

static _Atomic int64_t calls;     /* so far */
static _Atomic int64_t last_call; /* the one to die in */
static bool torn;
static struct death plan;
static bool armed;
static timer_t armed_timer;
static int64_t entered_calls, entered_ns;

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static timer_t start_timer(int64_t us)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {us / 1000000, us % 1000000 * 1000 + 1}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL)) {
        perror("crash: timer");
        _exit(1);
    }
    return timer;
}

void death_at(int64_t us)
{
    start_timer(us);
}

void death_plan(struct death death)
{
    plan = death;
    plan.visit++;
}

void phase_note(enum phase phase, int64_t us, int64_t spent)
{
    if (spent > shared->longest_calls[phase])
        shared->longest_calls[phase] = spent;
    if (us > shared->longest_us[phase])
        shared->longest_us[phase] = us;
}

static void arm(void)
{
    armed = true;
    torn = plan.kind == DEATH_TORN;
    if (plan.kind == DEATH_INSTANT)
        armed_timer = start_timer(plan.after);
    else
        atomic_store(&last_call, entered_calls + plan.after + 1);
}

/* The phase is over, and it was shorter than the plan thought: sooner, at the next visit. */
static void disarm(void)
{
    armed = false;
    if (plan.kind == DEATH_INSTANT)
        timer_delete(armed_timer);
    else
        atomic_store(&last_call, 0);
    plan.after /= 2;
    plan.visit = 1;
}

void phase_enter(enum phase phase)
{
    int64_t now_ns = clock_monotonic_ns();
    enum phase left = (enum phase)atomic_load(&shared->phase);
    if (entered_ns)
        phase_note(left, (now_ns - entered_ns) / 1000, atomic_load(&calls) - entered_calls);
    if (armed && plan.again && left == plan.phase)
        disarm();
    entered_ns = now_ns;
    entered_calls = atomic_load(&calls);
    atomic_store(&shared->phase, (int)phase);
    if (phase == plan.phase && plan.visit && --plan.visit == 0)
        arm();
}

/* One step nearer; true when this is the call to die in. */
static bool is_due(void)
{
    return atomic_fetch_add(&calls, 1) + 1 == atomic_load(&last_call);
}

static void step(void)
{
    if (is_due())
        die();
}

/* --- the calls --- */

ssize_t write(int fd, const void *at, size_t len)
{
    if (is_due()) {
        if (torn && len > 1)
            syscall(SYS_write, fd, at, len / 2);
        die();
    }
    return syscall(SYS_write, fd, at, len);
}

/* A log of the store, not of a backup. */
static bool is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    return len > 4 && memcmp(path + len - 4, ".log", 4) == 0 &&
           memmem(path, (size_t)len, "/data/", 6);
}

static int sync_file(int fd, long call)
{
    struct stat file;
    step();
    bool log = shared && is_log(fd) && fstat(fd, &file) == 0;
    int status = (int)syscall(call, fd);
    if (log && status == 0) {
        if (atomic_load(&shared->log_inode) != file.st_ino)
            atomic_store(&shared->log_synced, 0);
        atomic_store(&shared->log_inode, file.st_ino);
        atomic_store(&shared->log_synced, (uint64_t)file.st_size);
    }
    return status;
}

int fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

int rename(const char *from, const char *to)
{
    step();
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int link(const char *from, const char *to)
{
    step();
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    step();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int ftruncate(int fd, off_t size)
{
    step();
    return (int)syscall(SYS_ftruncate, fd, size);
}
