/* The places where a test can end the process, ask it to stop or make a call fail, the delay that
 * stretches a batch, and the clock on which weeks pass in a minute, or an hour at once.
 *
 * A fast clock multiplies the boot time itself: the job clock begins at an offset to it anyway. A
 * jump is added to it, as a suspend adds to the boot time and to no other clock.
 *
 * The environment is read once, at the first pass of any place. What stands there comes from a
 * test: a mistake in it ends the process with a message, or the test would pass without having
 * tested anything. */
#include "failpoint.h"

#ifdef ONCESINK_FAILPOINTS

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In the order of a batch's life. */
static const char *const NAMES[] = {
    "start-after-ledger",
    "start-after-ask",
    "first-input-before-commit",
    "first-input-after-commit",
    "plan-asked",
    "plan-before-commit",
    "plan-after-commit",
    "deliver-first",
    "deliver-middle",
    "deliver-last-acked",
    "transaction-after-init",
    "transaction-before-offsets",
    "transaction-before-commit",
    "transaction-after-commit",
    "checkpoint-before-commit",
    "checkpoint-after-commit",
    "set-aside-before-commit",
    "set-aside-after-commit",
    "replace-after-purge",
    "replace-after-destroy",
    "settle-before-commit",
    "settle-after-commit",
    "settle-before-sync",
    "mark-before",
    "mark-after",
    "recover-begin",
    "recover-read",
    "recover-deliver",
    "recover-check",
    "client-destroy",
};
enum { NAME_COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

/* Short sleeps last longer than asked for: they are saved up to this much and slept in one go. */
enum { DELAY_US_MIN = 1000, DELAY_CREDIT_US_MAX = 200000, SLICE_US_MAX = 100000 };

enum { SPEED_MAX = 1000000 }; /* a boot of some years stays far from an overflow */

enum { JUMP_TEXT_SIZE = 24 };

enum action { ACTION_NONE, ACTION_KILL, ACTION_ERROR, ACTION_HANG, ACTION_TERM };

static struct {
    bool read;
    const char *name; /* of NAMES; NULL = none is set */
    enum action action;
    uint64_t nth;
    uint64_t passed;
    uint64_t delay_us;
    int64_t owed_us;
    uint64_t speed;
    int jump_fd;          /* −1 = none */
    uint64_t deadline_ms; /* 0 = as in the source */
} state;

static const char *find(const char *name, size_t size)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strlen(NAMES[i]) == size && memcmp(NAMES[i], name, size) == 0) {
            return NAMES[i];
        }
    }
    return NULL;
}

static _Noreturn void refuse(const char *variable, const char *value)
{
    fprintf(stderr, "%s=%s isn't understood\n", variable, value);
    abort();
}

static uint64_t number_of(const char *variable, const char *value, const char *digits)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || errno != 0) {
        refuse(variable, value);
    }
    return number;
}

/* NAME:ACTION[@NTH] */
static void read_place(const char *variable, const char *value)
{
    const char *colon = strchr(value, ':');
    const char *at = strchr(value, '@');
    size_t action_size;

    if (colon == NULL || (at != NULL && at < colon)) {
        refuse(variable, value);
    }
    action_size = at != NULL ? (size_t)(at - colon - 1) : strlen(colon + 1);
    if (action_size == strlen("kill") && memcmp(colon + 1, "kill", action_size) == 0) {
        state.action = ACTION_KILL;
    } else if (action_size == strlen("error") && memcmp(colon + 1, "error", action_size) == 0) {
        state.action = ACTION_ERROR;
    } else if (action_size == strlen("hang") && memcmp(colon + 1, "hang", action_size) == 0) {
        state.action = ACTION_HANG;
    } else if (action_size == strlen("term") && memcmp(colon + 1, "term", action_size) == 0) {
        state.action = ACTION_TERM;
    } else {
        refuse(variable, value);
    }
    state.name = find(value, (size_t)(colon - value));
    state.nth = at != NULL ? number_of(variable, value, at + 1) : 1;
    if (state.name == NULL || state.nth == 0) {
        refuse(variable, value);
    }
}

static void read_environment(void)
{
    const char *place = getenv("ONCESINK_FAILPOINT");
    const char *delay = getenv("ONCESINK_RECORD_DELAY_US");
    const char *speed = getenv("ONCESINK_CLOCK_SPEED");
    const char *jump = getenv("ONCESINK_CLOCK_JUMP");
    const char *deadline = getenv("ONCESINK_DEADLINE_MS");

    state.jump_fd = -1;
    state.read = true;
    if (place != NULL && place[0] != '\0') {
        read_place("ONCESINK_FAILPOINT", place);
    }
    if (delay != NULL && delay[0] != '\0') {
        state.delay_us = number_of("ONCESINK_RECORD_DELAY_US", delay, delay);
    }
    if (deadline != NULL && deadline[0] != '\0') {
        state.deadline_ms = number_of("ONCESINK_DEADLINE_MS", deadline, deadline);
    }
    state.speed = 1;
    if (speed != NULL && speed[0] != '\0') {
        state.speed = number_of("ONCESINK_CLOCK_SPEED", speed, speed);
        if (state.speed == 0 || state.speed > SPEED_MAX) {
            refuse("ONCESINK_CLOCK_SPEED", speed);
        }
    }
    if (jump != NULL && jump[0] != '\0') {
        state.jump_fd = open(jump, O_RDONLY | O_CLOEXEC);
        if (state.jump_fd < 0) {
            refuse("ONCESINK_CLOCK_JUMP", jump);
        }
    }
}

/* What stands in the file now, a number of ms; nothing is 0. */
static int64_t jump_ms(void)
{
    char text[JUMP_TEXT_SIZE] = "";
    ssize_t size = state.jump_fd < 0 ? 0 : pread(state.jump_fd, text, sizeof(text) - 1, 0);

    if (size <= 0) {
        return 0;
    }
    text[strcspn(text, "\n")] = '\0';
    return (int64_t)number_of("ONCESINK_CLOCK_JUMP", text, text);
}

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool failpoint(const char *name)
{
    const char *known = find(name, strlen(name));

    assert(known != NULL);
    if (!state.read) {
        read_environment();
    }
    if (known != state.name || ++state.passed != state.nth) {
        return false;
    }
    fprintf(stderr, "failpoint %s, pass %llu\n", name, (unsigned long long)state.passed);
    if (state.action == ACTION_KILL) {
        kill(getpid(), SIGKILL);
    }
    while (state.action == ACTION_HANG) {
        pause();
    }
    if (state.action == ACTION_TERM) {
        fprintf(stderr, "failpoint %s stops at %" PRId64 "\n", name, wall_ms());
        kill(getpid(), SIGTERM);
        return false;
    }
    return true;
}

bool failpoint_without(const char *rule)
{
    const char *out = getenv("ONCESINK_WITHOUT");

    if (out != NULL && out[0] != '\0' && strcmp(out, "taint") != 0) {
        refuse("ONCESINK_WITHOUT", out);
    }
    return out != NULL && strcmp(out, rule) == 0;
}

static int64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What a sleep took longer than it should, on a busy machine, is taken off the next ones. */
void failpoint_delay_record(void)
{
    struct timespec time;
    int64_t began_us;

    if (!state.read) {
        read_environment();
    }
    state.owed_us += (int64_t)state.delay_us;
    if (state.owed_us < DELAY_US_MIN) {
        return;
    }
    time = (struct timespec){.tv_sec = (time_t)(state.owed_us / 1000000),
                             .tv_nsec = (long)(state.owed_us % 1000000) * 1000};
    began_us = monotonic_us();
    nanosleep(&time, NULL);
    state.owed_us -= monotonic_us() - began_us;
    if (state.owed_us < -DELAY_CREDIT_US_MAX) {
        state.owed_us = -DELAY_CREDIT_US_MAX;
    }
}

unsigned failpoint_slice(unsigned most)
{
    uint64_t fit;

    if (!state.read) {
        read_environment();
    }
    fit = state.delay_us == 0 ? most : SLICE_US_MAX / state.delay_us;
    return fit < most ? (unsigned)fit + 1 : most;
}

int64_t failpoint_deadline(int64_t most_ms)
{
    if (!state.read) {
        read_environment();
    }
    return state.deadline_ms > 0 && (int64_t)state.deadline_ms < most_ms
               ? (int64_t)state.deadline_ms
               : most_ms;
}

int64_t failpoint_clock_ms(int64_t boot_ms)
{
    if (!state.read) {
        read_environment();
    }
    return boot_ms * (int64_t)state.speed + jump_ms();
}

void failpoint_list(void)
{
    for (size_t i = 0; i < NAME_COUNT; i++) {
        puts(NAMES[i]);
    }
}

#endif
