/* The watchdog: a POSIX timer whose signal ends the process.
 *
 * The handler does nothing but write and _exit: both are safe in a signal handler whatever the
 * process was doing. The timer runs on CLOCK_MONOTONIC, so that a suspended machine doesn't count
 * as a hang. Where the process alone stood still (a paused container, SIGSTOP) that clock went on:
 * the first signal is a warning, and the call gets a little longer. */
#include "watchdog.h"

#include "failpoint.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_TEMPORARY = 75, GRACE_MS_MAX = 1000 };

static timer_t timer;
static bool timer_made;
static const char *volatile watched;
static int64_t grace_ms;
static volatile sig_atomic_t warned;
static const char *prefix = ""; /* the journal's, for an error */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        return; /* nobody reads it; the exit code still tells */
    }
}

static void set_timer(int64_t timeout_ms)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000}};
    int failed = timer_settime(timer, 0, &when, NULL);

    assert(failed == 0);
    (void)failed;
}

static void bite(int signal_number)
{
    const char *what = watched;

    (void)signal_number;
    if (what == NULL) {
        return; /* disarmed while the signal was on its way */
    }
    if (warned == 0) {
        int kept = errno;

        warned = 1;
        set_timer(grace_ms); /* timer_settime may be called in a handler */
        errno = kept;
        return;
    }
    say(prefix);
    say("watchdog: ");
    say(what);
    say(" hangs; ending at once, nothing is lost by it: start again\n");
    _exit(EXIT_TEMPORARY);
}

static void make_timer(void)
{
    struct sigaction action = {.sa_handler = bite, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    int failed;

    sigemptyset(&action.sa_mask);
    failed = sigaction(SIGALRM, &action, NULL);
    assert(failed == 0);
    failed = timer_create(CLOCK_MONOTONIC, &event, &timer);
    assert(failed == 0);
    (void)failed;
    prefix = log_to_journal() ? "<3>" : "";
    timer_made = true;
}

void watchdog_arm(const char *what, int64_t timeout_ms)
{
    sigset_t alarm_only;

    assert(what != NULL && timeout_ms > 0 && watched == NULL);
    if (!timer_made) {
        make_timer();
    }
    /* Whoever reads signals from a file has blocked them all; this one must reach its handler. */
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    timeout_ms = failpoint_deadline(timeout_ms);
    grace_ms = timeout_ms < GRACE_MS_MAX ? timeout_ms : GRACE_MS_MAX;
    warned = 0;
    watched = what;
    set_timer(timeout_ms);
}

void watchdog_disarm(void)
{
    assert(watched != NULL);
    watched = NULL;
    set_timer(0);
}
