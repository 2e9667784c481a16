/* Ranges read exactly, against librdkafka's mock cluster. */
#include "support_mock.h"

#include "source_read.h"
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS_MAX = 30000, FETCHED_MS = 1000, PARTITIONS = 3, TAKE_MAX = 100 };

static char topic[16]; /* each test has one of its own */
static struct definition_input input = {.topic = topic};
static const struct definition DEFINITION = {.inputs = &input, .input_count = 1};

static void new_topic(struct mock *mock, int partitions)
{
    static int count;

    snprintf(topic, sizeof(topic), "in-%d", ++count);
    mock_topic(mock, topic, partitions);
}

static struct source *new_source(struct mock *mock)
{
    struct source *source = NULL;
    struct err err;

    assert_true(source_new(&mock->config, PARTITIONS, &source, &err));
    return source;
}

static struct range range(int32_t partition, int64_t from, int64_t until)
{
    return (struct range){.partition = partition, .from = from, .until = until, .leader_epoch = -1};
}

static void begin(struct source *source, const struct range *ranges, size_t count)
{
    struct err err = {.kind = ERR_NONE};

    if (!source_begin(source, &DEFINITION, ranges, count, &err)) {
        fail_msg("%s", err.text);
    }
}

static struct source_taken take(struct source *source, size_t index, rd_kafka_message_t **messages,
                                size_t max)
{
    struct source_taken taken;
    struct err err = {.kind = ERR_NONE};

    if (!source_take(source, index, messages, max, &taken, &err)) {
        fail_msg("%s", err.text);
    }
    return taken;
}

static void rest(struct source *source)
{
    struct pollfd fd = {.fd = source_fd(source), .events = POLLIN};

    poll(&fd, 1, 20);
}

/* Takes what is there for one range and checks that it continues at *next, value for value. */
static struct source_taken take_checked(struct source *source, size_t index, int64_t *next)
{
    rd_kafka_message_t *messages[TAKE_MAX];
    struct source_taken taken = take(source, index, messages, TAKE_MAX);

    for (size_t i = 0; i < taken.count; i++) {
        char value[16];

        snprintf(value, sizeof(value), "%d", (int)*next);
        assert_int_equal(messages[i]->offset, *next);
        assert_int_equal(messages[i]->len, strlen(value));
        assert_memory_equal(messages[i]->payload, value, strlen(value));
        rd_kafka_message_destroy(messages[i]);
        (*next)++;
    }
    return taken;
}

/* Reads one range to its end from `next` on. */
static void read_on(struct source *source, const struct range *whole, int64_t next)
{
    int64_t begun_ms = wait_now_ms();

    while (!take_checked(source, 0, &next).done) {
        rest(source);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
    }
    assert_int_equal(next, whole->until);
}

/* Reads all ranges to their ends and checks that each record came once, in order. */
static void read_all(struct source *source, const struct range *ranges, size_t count)
{
    int64_t begun_ms = wait_now_ms();
    int64_t next[PARTITIONS];
    bool done[PARTITIONS] = {false};
    size_t left = count;

    for (size_t i = 0; i < count; i++) {
        next[i] = ranges[i].from;
    }
    while (left > 0) {
        size_t left_before = left;

        for (size_t i = 0; i < count; i++) {
            if (!done[i]) {
                struct source_taken taken = take_checked(source, i, &next[i]);

                assert_int_equal(taken.trouble, SOURCE_FINE);
                done[i] = taken.done;
                left -= taken.done ? 1 : 0;
            }
        }
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        if (left == left_before) {
            rest(source);
        }
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(next[i], ranges[i].until);
    }
}

static void ranges_come_whole_in_order_and_no_further(void **state)
{
    struct mock *mock = *state;
    struct range first[] = {range(0, 0, 300), range(1, 5, 6), range(2, 10, 299)};
    struct range second[] = {range(0, 300, 301), range(2, 299, 300)};
    struct source *source = new_source(mock);

    new_topic(mock, PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        mock_feed(mock, topic, i, 0, 400);
    }
    begin(source, first, 3);
    read_all(source, first, 3);
    begin(source, second, 2);
    read_all(source, second, 2);
    source_free(source);
}

static void what_was_fetched_beyond_a_range_is_kept_for_the_next(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range first = range(0, 0, 10);
    struct range second = range(0, 10, 400);

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 400);
    begin(source, &first, 1);
    read_all(source, &first, 1);
    poll(NULL, 0, FETCHED_MS); /* the client goes on fetching by itself */
    mock_away(mock, 2);        /* from here on nothing can be fetched */
    begin(source, &second, 1);
    read_all(source, &second, 1);
    source_free(source);
    mock_back(mock, 2);
}

static void a_batch_begun_again_is_read_from_its_start(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range whole = range(0, 0, 200);
    int64_t next = 0;

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 300);
    for (int round = 0; round < 3; round++) {
        begin(source, &whole, 1);
        next = 0;
        while (take_checked(source, 0, &next).count == 0) {
            rest(source);
        }
        if (round > 0) {
            read_on(source, &whole, next);
        }
        /* Its records have been taken up to the middle, or all of them; once more from the first
         * on. */
        whole.leader_epoch = source_leader_epoch(source, 0);
        begin(source, &whole, 1);
        read_all(source, &whole, 1);
    }
    source_free(source);
}

static void a_partition_added_leaves_the_others_as_they_are(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range first[] = {range(0, 0, 100)};
    struct range second[] = {range(0, 100, 200), range(1, 0, 50), range(2, 20, 50)};

    new_topic(mock, PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        mock_feed(mock, topic, i, 0, 300);
    }
    begin(source, first, 1);
    read_all(source, first, 1);
    begin(source, second, 3);
    read_all(source, second, 3);
    source_free(source);
}

/* While partition 1 has far to go, partition 0, which has next to nothing to give, is left, and
 * assigned again when it is read again: with what was fetched beyond its range, and what was
 * written since. */
static void a_partition_left_for_one_with_a_backlog_comes_back_whole(void **state)
{
    enum { FAR = 6000 };
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range first[] = {range(0, 0, 30), range(1, 0, FAR)};
    struct range second[] = {range(0, 30, 50), range(1, FAR, 2 * FAR)};
    struct range third[] = {range(1, 2 * FAR, 3 * FAR)};
    struct range fourth[] = {range(0, 50, 60), range(1, 3 * FAR, 3 * FAR + 10)};

    new_topic(mock, PARTITIONS);
    mock_feed(mock, topic, 0, 0, 40);
    mock_feed(mock, topic, 1, 0, 2 * FAR);
    begin(source, first, 2);
    read_all(source, first, 2);
    mock_feed(mock, topic, 0, 40, 20);
    second[0].leader_epoch = source_leader_epoch(source, 0);
    second[1].leader_epoch = source_leader_epoch(source, 1);
    begin(source, second, 2);
    read_all(source, second, 2);
    mock_feed(mock, topic, 1, 2 * FAR, FAR + 10);
    begin(source, third, 1);
    read_all(source, third, 1);
    begin(source, fourth, 2);
    read_all(source, fourth, 2);
    source_free(source);
}

/* librdkafka's position is one too high once the end of the partition was met: what is written
 * there afterwards must come all the same. */
static void an_end_met_before_a_record_was_written_hides_nothing(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range first = range(0, 0, 5);
    struct range second = range(0, 5, 6);
    int64_t until_ms;
    int64_t next = 5;

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 5);
    begin(source, &first, 1);
    read_all(source, &first, 1);
    begin(source, &second, 1);
    for (until_ms = wait_now_ms() + 500; wait_now_ms() < until_ms; rest(source)) {
        assert_false(take_checked(source, 0, &next).done);
    }
    assert_int_equal(next, 5);
    mock_feed(mock, topic, 0, 5, 1);
    read_all(source, &second, 1);
    source_free(source);
}

static void skipping_goes_on_behind_what_is_lost(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range whole = range(0, 0, 300);
    struct err err = {.kind = ERR_NONE};
    int64_t next = 0;
    int64_t begun_ms = wait_now_ms();
    bool done = false;

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 300);
    begin(source, &whole, 1);
    while (take_checked(source, 0, &next).count == 0) {
        rest(source);
    }
    for (int64_t step = 1; next + step < 300;
         step *= 3) { /* near: among the kept; far: fetched anew */
        next += step;
        assert_true(source_skip(source, 0, next, &err));
        while (!done && take_checked(source, 0, &next).count == 0) {
            rest(source);
            assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        }
    }
    read_on(source, &whole, next);
    source_free(source);
}

static struct source_taken take_until_trouble(struct source *source)
{
    int64_t begun_ms = wait_now_ms();
    int64_t next = 0;

    while (true) {
        struct source_taken taken = take_checked(source, 0, &next);

        assert_false(taken.done);
        if (taken.trouble != SOURCE_FINE) {
            return taken;
        }
        rest(source);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
    }
}

static void a_position_beyond_the_log_is_told_and_can_be_tried_again(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range beyond = range(0, 20, 30);
    struct source_taken taken;
    struct err err = {.kind = ERR_NONE};

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 10);
    begin(source, &beyond, 1);
    taken = take_until_trouble(source);
    assert_int_equal(taken.trouble, SOURCE_OUT_OF_RANGE);
    assert_int_equal(taken.position, 20);
    assert_true(strlen(taken.text) > 0);
    mock_feed(mock, topic, 0, 10, 25);
    assert_true(source_skip(source, 0, 20, &err));
    read_all(source, &beyond, 1);
    source_free(source);
}

static void tell_divergence(struct mock *mock, bool leaders_known)
{
    struct source *source = new_source(mock);
    struct range beyond = range(0, 15, 30);

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 10);
    rd_kafka_mock_partition_set_leader(mock->cluster, topic, 0, 2);
    mock_feed(mock, topic, 0, 10, 30);
    if (leaders_known) {
        source_expect(source, topic);
        poll(NULL, 0, 1000);
    }
    beyond.leader_epoch = 0; /* whose records end at 10: offset 14 can't have been read in it */
    begin(source, &beyond, 1);
    assert_int_equal(take_until_trouble(source).trouble, SOURCE_TRUNCATED);
    source_free(source);
}

static void a_log_that_diverged_from_what_was_read_is_told(void **state)
{
    tell_divergence(*state, false);
}

static void divergence_is_told_also_where_the_leaders_are_known_already(void **state)
{
    tell_divergence(*state, true);
}

static void a_log_that_goes_on_from_what_was_read_is_read(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range goes_on = range(0, 10, 30);

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 10);
    rd_kafka_mock_partition_set_leader(mock->cluster, topic, 0, 2);
    mock_feed(mock, topic, 0, 10, 30);
    source_expect(source, topic);
    poll(NULL, 0, 500);
    goes_on.leader_epoch = 0; /* the epoch ended at 10, where we go on */
    begin(source, &goes_on, 1);
    read_all(source, &goes_on, 1);
    source_free(source);
}

static void a_broker_that_is_away_for_a_while_costs_nothing_but_time(void **state)
{
    struct mock *mock = *state;
    struct source *source;
    struct range first = range(0, 0, 50);
    struct range second = range(0, 50, 300);

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 300);
    mock_away(mock, 2);
    source = new_source(mock);
    begin(source, &first, 1);
    for (int64_t until_ms = wait_now_ms() + 300; wait_now_ms() < until_ms; rest(source)) {
        int64_t next = 0;

        assert_false(take_checked(source, 0, &next).done);
    }
    mock_back(mock, 2);
    read_all(source, &first, 1);
    rd_kafka_mock_partition_set_leader(mock->cluster, topic, 0, 2);
    begin(source, &second, 1);
    read_all(source, &second, 1);
    source_free(source);
}

static void outputs_are_read_by_the_same_means(void **state)
{
    struct mock *mock = *state;
    struct range all = range(0, 0, 100);
    struct source *source = NULL;
    struct err err;

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 100);
    assert_true(source_new_outputs(&mock->config, false, 0, &source, &err));
    begin(source, &all, 1);
    read_all(source, &all, 1);
    assert_int_equal(source_log_start(source, 0), 0);
    source_free(source);
}

static void freeing_with_records_kept_and_fetches_under_way_doesnt_hang(void **state)
{
    struct mock *mock = *state;
    struct source *source = new_source(mock);
    struct range some = range(0, 0, 3);
    int64_t begun_ms;

    new_topic(mock, 1);
    mock_feed(mock, topic, 0, 0, 300);
    begin(source, &some, 1);
    read_all(source, &some, 1);
    begun_ms = wait_now_ms();
    source_free(source);
    assert_true(wait_now_ms() - begun_ms < 5000);
    source_free(NULL);
}

static int set_up(void **state)
{
    *state = mock_new(2);
    return 0;
}

static int tear_down(void **state)
{
    mock_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_come_whole_in_order_and_no_further),
        cmocka_unit_test(what_was_fetched_beyond_a_range_is_kept_for_the_next),
        cmocka_unit_test(a_batch_begun_again_is_read_from_its_start),
        cmocka_unit_test(a_partition_added_leaves_the_others_as_they_are),
        cmocka_unit_test(a_partition_left_for_one_with_a_backlog_comes_back_whole),
        cmocka_unit_test(an_end_met_before_a_record_was_written_hides_nothing),
        cmocka_unit_test(skipping_goes_on_behind_what_is_lost),
        cmocka_unit_test(a_position_beyond_the_log_is_told_and_can_be_tried_again),
        cmocka_unit_test(a_log_that_diverged_from_what_was_read_is_told),
        cmocka_unit_test(divergence_is_told_also_where_the_leaders_are_known_already),
        cmocka_unit_test(a_log_that_goes_on_from_what_was_read_is_read),
        cmocka_unit_test(a_broker_that_is_away_for_a_while_costs_nothing_but_time),
        cmocka_unit_test(outputs_are_read_by_the_same_means),
        cmocka_unit_test(freeing_with_records_kept_and_fetches_under_way_doesnt_hang),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
