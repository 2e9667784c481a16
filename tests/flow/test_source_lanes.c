/* Readings that begin again with a fresh consumer, against librdkafka's mock cluster. */
#include "support_mock.h"

#include "client_end.h"
#include "source_state.h"
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS_MAX = 30000, PARTITIONS = 6, TAKE_MAX = 50, RECORDS = 400 };

static char topic[24]; /* each test has one of its own */
static struct definition_input input = {.topic = topic};
static const struct definition DEFINITION = {.inputs = &input, .input_count = 1};

static struct reading {
    struct source *source;
    struct range ranges[PARTITIONS];
    int64_t next[PARTITIONS];
    bool done[PARTITIONS];
    size_t left;
} reading;

static void feed_new_topic(struct mock *mock, const char *name)
{
    snprintf(topic, sizeof(topic), "%s", name);
    mock_topic(mock, topic, PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        for (int first = 0; first < RECORDS;
             first += 20) { /* a fetch is answered with one of them */
            mock_feed(mock, topic, i, first, 20);
        }
    }
}

static void begin(int64_t from, int64_t until)
{
    struct err err = {.kind = ERR_NONE};

    for (int32_t i = 0; i < PARTITIONS; i++) {
        reading.ranges[i] = (struct range){
            .partition = i, .from = from, .until = until, .leader_epoch = -1, .end_epoch = -1};
        reading.next[i] = from;
        reading.done[i] = false;
    }
    reading.left = PARTITIONS;
    assert_true(source_begin(reading.source, &DEFINITION, reading.ranges, PARTITIONS, &err));
}

/* Takes what is there for one range; each record must be the next one. */
static void take_some(size_t index)
{
    rd_kafka_message_t *messages[TAKE_MAX];
    struct source_taken taken;
    struct err err = {.kind = ERR_NONE};

    if (reading.done[index]) {
        return;
    }
    if (!source_take(reading.source, index, messages, TAKE_MAX, &taken, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(taken.trouble, SOURCE_FINE);
    for (size_t i = 0; i < taken.count; i++) {
        assert_int_equal(messages[i]->partition, index);
        assert_int_equal(messages[i]->offset, reading.next[index]++);
        rd_kafka_message_destroy(messages[i]);
    }
    if (taken.done) {
        reading.done[index] = true;
        reading.left--;
        assert_int_equal(reading.next[index], reading.ranges[index].until);
    }
}

static void take_all_round(void)
{
    struct pollfd fd = {.fd = source_fd(reading.source), .events = POLLIN};

    for (size_t i = 0; i < PARTITIONS; i++) {
        take_some(i);
    }
    poll(&fd, 1, 10);
}

static void read_to_the_end(void)
{
    int64_t begun_ms = wait_now_ms();

    while (reading.left > 0) {
        take_all_round();
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
    }
}

static void retry(const size_t *indexes, size_t count)
{
    struct err err = {.kind = ERR_NONE};

    if (!source_retry(reading.source, indexes, count, &err)) {
        fail_msg("%s", err.text);
    }
}

static void open_source(struct mock *mock)
{
    struct err err;

    assert_true(source_new(&mock->config, PARTITIONS, &reading.source, &err));
}

static void readings_that_begin_again_go_on_with_the_next_record(void **state)
{
    size_t some[PARTITIONS];

    feed_new_topic(*state, "again");
    open_source(*state);
    for (int64_t from = 0; from < RECORDS; from += RECORDS / 4) {
        begin(from, from + RECORDS / 4);
        for (size_t round = 0; round < 5; round++) {
            size_t count = 0;

            take_all_round();
            for (size_t i = 0; i < PARTITIONS; i++) {
                if (!reading.done[i] && (i + round) % 3 != 0) {
                    some[count++] = i;
                }
            }
            if (count > 0) {
                retry(some, count);
            }
            while (!source_can_retry(reading.source)) {
                source_tidy(reading.source); /* every message is destroyed */
                poll(NULL, 0, 10);
            }
        }
        read_to_the_end();
    }
    source_free(reading.source);
    client_end_wait();
    assert_int_equal(client_ending(), 0);
}

/* One after another fails, and each time another one: the consumers stay few, and when all have
 * left the first it is let go. */
static void consumers_stay_few_however_often_a_reading_begins_again(void **state)
{
    feed_new_topic(*state, "few");
    open_source(*state);
    begin(0, RECORDS);
    for (size_t turn = 0; turn < 30; turn++) {
        size_t index = turn % PARTITIONS;

        take_some((index + 1) % PARTITIONS);
        if (reading.done[index]) {
            continue;
        }
        while (!source_can_retry(reading.source)) {
            source_tidy(reading.source);
            poll(NULL, 0, 10);
        }
        retry(&index, 1);
    }
    assert_true(source_has_retired(reading.source));
    source_tidy(reading.source);
    assert_false(source_has_retired(reading.source));
    read_to_the_end();
    source_free(reading.source);
}

static void after_a_quiet_time_one_consumer_reads_all(void **state)
{
    size_t some[] = {1, 2, 4};

    feed_new_topic(*state, "quiet");
    open_source(*state);
    begin(0, 100);
    take_all_round();
    retry(some, 3);
    retry(some, 1);
    read_to_the_end();
    assert_int_equal(reading.source->lane_count, 3);
    begin(100, 200); /* too early */
    read_to_the_end();
    assert_int_equal(reading.source->lane_count, 3);
    reading.source->fold_ms = 0;
    begin(200, 300);
    assert_int_equal(reading.source->lane_count, 1);
    read_to_the_end();
    source_tidy(reading.source);
    begin(300, RECORDS);
    read_to_the_end();
    source_free(reading.source);
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
        cmocka_unit_test(readings_that_begin_again_go_on_with_the_next_record),
        cmocka_unit_test(consumers_stay_few_however_often_a_reading_begins_again),
        cmocka_unit_test(after_a_quiet_time_one_consumer_reads_all),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
