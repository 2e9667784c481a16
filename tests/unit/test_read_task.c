/* Read tasks: what counts as waiting, when an attempt fails and when the batch does, and what ends
 * that. */
#include "read_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 10000, FAILURES_MAX = 4, COUNT = 3, LOOK_MS = 100 };

static struct read_task room[COUNT];
static struct read_tasks tasks;
static int64_t now_ms;

static int set_up(void **state)
{
    (void)state;
    now_ms = 5000;
    read_tasks_init(&tasks, room, COUNT, TIMEOUT_MS, FAILURES_MAX);
    return 0;
}

static void look(size_t index, enum read_task_found found)
{
    read_tasks_look(&tasks, index, found, now_ms);
}

/* So long nothing comes for tasks[index], looked at every LOOK_MS; stops at the first verdict that
 * isn't GO_ON. */
static enum read_tasks_verdict starve(size_t index, int64_t for_ms)
{
    int64_t end_ms = now_ms + for_ms;

    while (now_ms < end_ms) {
        enum read_tasks_verdict verdict;

        now_ms += LOOK_MS;
        look(index, READ_TASK_NOTHING);
        verdict = read_tasks_judge(&tasks, now_ms);
        if (verdict != READ_TASKS_GO_ON) {
            return verdict;
        }
    }
    return READ_TASKS_GO_ON;
}

/* Long enough for any of the first attempts. */
enum { STARVE_MS = 4 * TIMEOUT_MS };

static void fail_once(size_t index)
{
    assert_int_equal(starve(index, STARVE_MS), READ_TASKS_FAILED);
    assert_int_equal(room[index].state, READ_TASK_FAILED);
    read_tasks_again(&tasks, index);
}

static void expire(size_t index)
{
    while (room[index].failures < FAILURES_MAX - 1) {
        fail_once(index);
    }
    assert_int_equal(starve(index, STARVE_MS), READ_TASKS_EXPIRED);
    assert_int_equal(room[index].state, READ_TASK_RESTING);
}

static void a_task_that_gets_nothing_fails_at_the_time_out_and_not_before(void **state)
{
    (void)state;
    look(0, READ_TASK_NOTHING);
    assert_int_equal(starve(0, TIMEOUT_MS - LOOK_MS), READ_TASKS_GO_ON);
    assert_int_equal(starve(0, LOOK_MS), READ_TASKS_FAILED);
    assert_int_equal(room[0].failures, 1);
    assert_int_equal(room[1].state, READ_TASK_RUNNING);
}

static void whatever_comes_makes_the_wait_begin_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(starve(0, TIMEOUT_MS - LOOK_MS), READ_TASKS_GO_ON);
        now_ms += LOOK_MS;
        look(0, READ_TASK_CAME);
    }
    assert_int_equal(room[0].failures, 0);
}

static void time_in_which_nobody_looked_is_ours(void **state)
{
    (void)state;
    look(0, READ_TASK_NOTHING);
    now_ms += 3600 * 1000; /* stood still for an hour */
    look(0, READ_TASK_NOTHING);
    assert_int_equal(read_tasks_judge(&tasks, now_ms), READ_TASKS_GO_ON);
    assert_true(room[0].waited_ms <= READ_TASK_LOOK_MS);
}

static void what_somebody_else_judges_is_no_waiting(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        now_ms += LOOK_MS;
        look(0, READ_TASK_EXCUSED);
        assert_int_equal(read_tasks_judge(&tasks, now_ms), READ_TASKS_GO_ON);
    }
    assert_int_equal(room[0].waited_ms, 0);
}

static void an_attempt_that_got_something_before_it_failed_counts_too(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURES_MAX - 1; i++) {
        look(1, READ_TASK_CAME);
        fail_once(1);
        assert_int_equal(room[1].failures, i + 1);
    }
    assert_int_equal(starve(1, 2 * TIMEOUT_MS), READ_TASKS_EXPIRED);
}

static void the_batch_fails_with_the_last_attempt_and_begins_again_after_a_back_off(void **state)
{
    int64_t failed_ms;

    (void)state;
    fail_once(1);
    expire(0);
    failed_ms = now_ms;
    assert_int_equal(tasks.rest_until_ms, now_ms + READ_TASK_REST_MS);
    assert_int_equal(starve(0, TIMEOUT_MS), READ_TASKS_RESTED);
    assert_true(now_ms - failed_ms >= READ_TASK_REST_MS);
    assert_int_equal(room[0].state, READ_TASK_FAILED);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(room[i].failures, 0);
    }
    read_tasks_again(&tasks, 0);
    expire(0);
    assert_int_equal(tasks.rest_until_ms, now_ms + 2 * READ_TASK_REST_MS);
}

/* A range behind more aborted data than a broker sends within the time-out is read at last. */
static void a_batch_that_begins_again_gives_each_attempt_twice_the_time(void **state)
{
    (void)state;
    expire(0);
    assert_int_equal(starve(0, TIMEOUT_MS), READ_TASKS_RESTED);
    read_tasks_again(&tasks, 0);
    assert_int_equal(starve(0, 2 * TIMEOUT_MS - LOOK_MS), READ_TASKS_GO_ON);
    assert_int_equal(starve(0, 2 * LOOK_MS), READ_TASKS_FAILED);
    read_tasks_again(&tasks, 0);
    look(0, READ_TASK_CAME);
    assert_int_equal(starve(0, TIMEOUT_MS + 2 * LOOK_MS), READ_TASKS_FAILED);
    assert_int_equal(read_tasks_attempt_ms(&tasks, 1000),
                     (int64_t)TIMEOUT_MS << READ_TASK_DOUBLINGS_MAX);
}

static void what_comes_while_it_rests_ends_the_rest(void **state)
{
    (void)state;
    expire(0);
    now_ms += LOOK_MS;
    look(0, READ_TASK_CAME);
    assert_int_equal(room[0].state, READ_TASK_RUNNING);
    assert_int_equal(room[0].failures, 0);
    assert_int_equal(tasks.rest_until_ms, 0);
    expire(0); /* and the next back-off is a short one */
    assert_int_equal(tasks.rest_until_ms, now_ms + READ_TASK_REST_MS);
}

static void two_that_rest_begin_again_together(void **state)
{
    size_t indexes[COUNT];

    (void)state;
    fail_once(2);
    fail_once(2);
    fail_once(2);
    expire(0);
    for (int64_t end_ms = tasks.rest_until_ms - LOOK_MS; now_ms < end_ms; now_ms += LOOK_MS) {
        look(0, READ_TASK_NOTHING);
    }
    room[2].waited_ms = TIMEOUT_MS; /* its last attempt fails just before the rest is over */
    assert_int_equal(read_tasks_judge(&tasks, now_ms), READ_TASKS_EXPIRED);
    assert_int_equal(read_tasks_in(&tasks, READ_TASK_RESTING, indexes), 2);
    look(2, READ_TASK_CAME); /* one alone doesn't end the rest of the other */
    assert_int_equal(room[0].state, READ_TASK_RESTING);
    assert_int_equal(read_tasks_judge(&tasks, tasks.rest_until_ms), READ_TASKS_RESTED);
    assert_int_equal(read_tasks_in(&tasks, READ_TASK_FAILED, indexes), 1);
    assert_int_equal(indexes[0], 0);
}

static void a_finished_task_is_done_wherever_it_was(void **state)
{
    (void)state;
    look(0, READ_TASK_FINISHED);
    expire(1);
    look(1, READ_TASK_FINISHED);
    assert_int_equal(tasks.rest_until_ms, 0);
    starve(2, 2 * TIMEOUT_MS);
    look(2, READ_TASK_FINISHED);
    assert_int_equal(read_tasks_in(&tasks, READ_TASK_DONE, NULL), COUNT);
}

/* So a night without a broker: how often is something told? */
static void back_off_grows_to_a_minute(void **state)
{
    int64_t last_ms = 0;

    (void)state;
    assert_int_equal(read_tasks_rest_ms(1), READ_TASK_REST_MS);
    for (int64_t rests = 1; rests < 100; rests++) {
        int64_t rest_ms = read_tasks_rest_ms(rests);

        assert_true(rest_ms >= last_ms && rest_ms <= READ_TASK_REST_MS_MAX);
        last_ms = rest_ms;
    }
    assert_int_equal(last_ms, READ_TASK_REST_MS_MAX);
}

/* Eight hours without a broker, with the defaults and tasks that began to wait one after another:
 * the ledger's events, one for those that fail together and one for each failing of the batch. */
static void a_night_without_a_broker_is_told_by_some_hundred_events(void **state)
{
    enum { NIGHT_MS = 8 * 3600 * 1000, EVENTS_MAX = 500 };
    size_t failed[COUNT];
    int events = 0;

    (void)state;
    for (int64_t end_ms = now_ms + NIGHT_MS; now_ms < end_ms; now_ms += 1000) {
        enum read_tasks_verdict verdict;

        for (size_t i = 0; i < COUNT; i++) {
            look(i, now_ms < 5000 + 3000 * (int64_t)i ? READ_TASK_CAME : READ_TASK_NOTHING);
        }
        verdict = read_tasks_judge(&tasks, now_ms);
        events += verdict == READ_TASKS_EXPIRED ? 1 : 0;
        if (verdict != READ_TASKS_RESTED && read_tasks_in(&tasks, READ_TASK_FAILED, NULL) > 0) {
            events++;
        }
        for (size_t i = read_tasks_in(&tasks, READ_TASK_FAILED, failed); i > 0; i--) {
            read_tasks_again(&tasks, failed[i - 1]);
        }
    }
    assert_in_range(events, EVENTS_MAX / 5, EVENTS_MAX);
    assert_int_equal(read_tasks_in(&tasks, READ_TASK_DONE, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests_of_tasks[] = {
        cmocka_unit_test_setup(a_task_that_gets_nothing_fails_at_the_time_out_and_not_before,
                               set_up),
        cmocka_unit_test_setup(whatever_comes_makes_the_wait_begin_anew, set_up),
        cmocka_unit_test_setup(time_in_which_nobody_looked_is_ours, set_up),
        cmocka_unit_test_setup(what_somebody_else_judges_is_no_waiting, set_up),
        cmocka_unit_test_setup(an_attempt_that_got_something_before_it_failed_counts_too, set_up),
        cmocka_unit_test_setup(
            the_batch_fails_with_the_last_attempt_and_begins_again_after_a_back_off, set_up),
        cmocka_unit_test_setup(a_batch_that_begins_again_gives_each_attempt_twice_the_time, set_up),
        cmocka_unit_test_setup(what_comes_while_it_rests_ends_the_rest, set_up),
        cmocka_unit_test_setup(two_that_rest_begin_again_together, set_up),
        cmocka_unit_test_setup(a_finished_task_is_done_wherever_it_was, set_up),
        cmocka_unit_test_setup(back_off_grows_to_a_minute, set_up),
        cmocka_unit_test_setup(a_night_without_a_broker_is_told_by_some_hundred_events, set_up),
    };

    return cmocka_run_group_tests(tests_of_tasks, NULL, NULL);
}
