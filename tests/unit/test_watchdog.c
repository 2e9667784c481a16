/* The watchdog, in child processes: it ends one that hangs and leaves others alone. */
#include "watchdog.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { EXIT_FINE = 3, SAID_MAX = 256 };

static void hang(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) < 0) {
    }
}

/* Runs `body` in a child and tells how that ended, and what was written to stderr. */
static int exit_code_of(void (*body)(void), char said[SAID_MAX])
{
    int ends[2];
    pid_t child;
    size_t size = 0;
    ssize_t got;
    int status;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(EXIT_FINE);
    }
    close(ends[1]);
    do { /* what it says comes in pieces; its end closes the pipe */
        got = read(ends[0], said + size, SAID_MAX - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    said[size] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void hang_watched(void)
{
    watchdog_arm("the call under test", 30);
    hang(10000);
}

static void hang_watched_with_signals_blocked(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    hang_watched();
}

static void return_in_time(void)
{
    for (int i = 0; i < 3; i++) {
        watchdog_arm("a short call", 1000);
        watchdog_disarm();
    }
    watchdog_arm("a call that ends in time", 60);
    hang(10);
    watchdog_disarm();
    hang(100);
}

/* The whole time of the call, and more, in which nothing could be done. */
static void stand_still_in_a_call(void)
{
    pid_t self = getpid();

    watchdog_arm("a call that could do nothing", 200);
    if (fork() == 0) {
        hang(600);
        kill(self, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    hang(20); /* and then it ends */
    watchdog_disarm();
    hang(400);
}

static void a_call_in_a_stopped_process_gets_its_time_afterwards(void **state)
{
    char said[SAID_MAX];

    (void)state;
    assert_int_equal(exit_code_of(stand_still_in_a_call, said), EXIT_FINE);
    assert_string_equal(said, "");
}

static void a_call_that_hangs_ends_the_process_as_temporary(void **state)
{
    char said[SAID_MAX];

    (void)state;
    assert_int_equal(exit_code_of(hang_watched, said), 75);
    assert_non_null(strstr(said, "the call under test"));
}

static void blocked_signals_dont_keep_it_from_biting(void **state)
{
    char said[SAID_MAX];

    (void)state;
    assert_int_equal(exit_code_of(hang_watched_with_signals_blocked, said), 75);
}

static void a_call_that_returns_in_time_is_left_alone(void **state)
{
    char said[SAID_MAX];

    (void)state;
    assert_int_equal(exit_code_of(return_in_time, said), EXIT_FINE);
    assert_string_equal(said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_hangs_ends_the_process_as_temporary),
        cmocka_unit_test(blocked_signals_dont_keep_it_from_biting),
        cmocka_unit_test(a_call_that_returns_in_time_is_left_alone),
        cmocka_unit_test(a_call_in_a_stopped_process_gets_its_time_afterwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
