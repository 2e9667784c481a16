/* Failpoints: each case runs in a child process, as the environment is read once. */
#include "failpoint.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef ONCESINK_FAILPOINTS

enum { EXIT_PASSED = 40, PASSES = 4 };

/* Passes the place PASSES times with the environment set; the exit code is EXIT_PASSED + how often
 * it answered true (weighted by the pass: 1, 2, 4, 8). */
static int status_of_child(const char *setting, const char *place)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int answered = 0;

        setenv("ONCESINK_FAILPOINT", setting, 1);
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(1);
        }
        signal(SIGABRT, SIG_DFL);
        for (int pass = 0; pass < PASSES; pass++) {
            answered |= (int)failpoint(place) << pass;
        }
        _exit(EXIT_PASSED + answered);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_exit(const char *setting, const char *place, int code)
{
    int status = status_of_child(setting, place);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void assert_signal(const char *setting, const char *place, int number)
{
    int status = status_of_child(setting, place);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
}

static void without_a_setting_nothing_happens(void **state)
{
    (void)state;
    assert_exit("", "plan-before-commit", EXIT_PASSED);
}

static void error_answers_true_once(void **state)
{
    (void)state;
    assert_exit("plan-before-commit:error", "plan-before-commit", EXIT_PASSED + 1);
    assert_exit("plan-before-commit:error@1", "plan-before-commit", EXIT_PASSED + 1);
    assert_exit("plan-before-commit:error@3", "plan-before-commit", EXIT_PASSED + 4);
    assert_exit("plan-before-commit:error@5", "plan-before-commit", EXIT_PASSED);
}

static void other_places_are_not_touched(void **state)
{
    (void)state;
    assert_exit("plan-before-commit:kill", "plan-after-commit", EXIT_PASSED);
}

static void kill_kills(void **state)
{
    (void)state;
    assert_signal("mark-before:kill", "mark-before", SIGKILL);
    assert_signal("mark-before:kill@4", "mark-before", SIGKILL);
    assert_exit("mark-before:kill@5", "mark-before", EXIT_PASSED);
}

static void a_setting_that_is_not_understood_ends_the_process(void **state)
{
    static const char *const SETTINGS[] = {
        "plan-before-commit",         "plan-before-commit:",        "plan-before-commit:kil",
        "plan-before-commit:killer",  "plan-before-commit:kill@",   "plan-before-commit:kill@0",
        "plan-before-commit:kill@-1", "plan-before-commit:kill@1x", ":kill",
        "no-such-place:kill",         "plan-before-commit@1:kill",  "plan-before-commit:kill@ 1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        assert_signal(SETTINGS[i], "plan-before-commit", SIGABRT);
    }
}

static void a_name_that_is_not_listed_is_a_defect(void **state)
{
    (void)state;
    assert_signal("", "no-such-place", SIGABRT);
}

static void assert_clock(const char *speed, int64_t boot_ms, int64_t clock_ms)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("ONCESINK_CLOCK_SPEED", speed, 1);
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(2);
        }
        signal(SIGABRT, SIG_DFL);
        _exit(failpoint_clock_ms(boot_ms) == clock_ms ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (clock_ms < 0) {
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    } else {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void the_clock_runs_as_fast_as_asked(void **state)
{
    (void)state;
    assert_clock("", 1234, 1234);
    assert_clock("1", 1234, 1234);
    assert_clock("17280", 1234, 1234 * 17280LL);
    assert_clock("1000000", 1234, 1234 * 1000000LL);
    assert_clock("1000001", 1234, -1);
    assert_clock("0", 1234, -1);
    assert_clock("2x", 1234, -1);
    assert_clock("-2", 1234, -1);
}

static void term_asks_for_a_stop_and_goes_on(void **state)
{
    (void)state;
    assert_signal("mark-before:term@2", "mark-before", SIGTERM);
    assert_exit("mark-before:term@5", "mark-before", EXIT_PASSED);
}

/* The same clock before and after the file holds a number. */
static void the_clock_jumps_by_what_is_in_the_file(void **state)
{
    char path[] = "/tmp/oncesink-jump-XXXXXX";
    int status;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        int file = mkstemp(path);

        setenv("ONCESINK_CLOCK_JUMP", path, 1);
        setenv("ONCESINK_CLOCK_SPEED", "3", 1);
        if (file < 0 || failpoint_clock_ms(1000) != 3000 || write(file, "3600000\n", 8) != 8 ||
            failpoint_clock_ms(1001) != 3603003 || failpoint_clock_ms(1002) != 3603006) {
            unlink(path);
            _exit(1);
        }
        unlink(path);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_delay_adds_up(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        struct timespec begin;
        struct timespec end;
        int64_t took_us;

        setenv("ONCESINK_RECORD_DELAY_US", "100", 1);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int record = 0; record < 200; record++) {
            failpoint_delay_record();
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        took_us = (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000;
        /* what is owed in the end, less than 1 ms, is for the next record */
        _exit(took_us > 19000 && failpoint_slice(2000) == 1001 && failpoint_slice(10) == 10 ? 0
                                                                                            : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_setting_nothing_happens),
        cmocka_unit_test(error_answers_true_once),
        cmocka_unit_test(other_places_are_not_touched),
        cmocka_unit_test(kill_kills),
        cmocka_unit_test(a_setting_that_is_not_understood_ends_the_process),
        cmocka_unit_test(a_name_that_is_not_listed_is_a_defect),
        cmocka_unit_test(the_delay_adds_up),
        cmocka_unit_test(the_clock_runs_as_fast_as_asked),
        cmocka_unit_test(term_asks_for_a_stop_and_goes_on),
        cmocka_unit_test(the_clock_jumps_by_what_is_in_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void a_build_for_use_has_no_failpoints(void **state)
{
    (void)state;
    setenv("ONCESINK_FAILPOINT", "plan-before-commit:kill", 1);
    assert_false(failpoint("plan-before-commit"));
    failpoint_delay_record();
    assert_int_equal(failpoint_slice(1000), 1000);
    setenv("ONCESINK_CLOCK_SPEED", "2", 1);
    assert_int_equal(failpoint_clock_ms(1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_for_use_has_no_failpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
