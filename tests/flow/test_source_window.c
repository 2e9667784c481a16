/* More partitions than there is memory for at the same time, against librdkafka's mock cluster. */
#include "support_mock.h"

#include "client_end.h"
#include "source_state.h"
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS_MAX = 30000, PARTITIONS = 6, TAKE_MAX = 50, RECORDS = 200 };

static char topic[24]; /* each test has one of its own */
static struct definition_input input = {.topic = topic};
static const struct definition DEFINITION = {.inputs = &input, .input_count = 1};

static struct reading {
    struct source *source;
    struct range ranges[PARTITIONS];
    int64_t next[PARTITIONS];
    bool done[PARTITIONS];
    size_t left;
    size_t most; /* read at the same time */
} reading;

static size_t assigned(void)
{
    size_t count = 0;

    for (size_t i = 0; i < reading.source->lane_count; i++) {
        count += reading.source->lanes[i]->assigned;
    }
    return count;
}

static void open_source(struct mock *mock, const char *name, int64_t memory)
{
    struct err err;

    snprintf(topic, sizeof(topic), "%s", name);
    mock_topic(mock, topic, PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        mock_feed(mock, topic, i, 0, RECORDS);
    }
    mock->config.memory_max_bytes = memory;
    reading = (struct reading){.source = NULL};
    assert_true(source_new(&mock->config, PARTITIONS, &reading.source, &err));
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

static void read_until_left(size_t left)
{
    int64_t begun_ms = wait_now_ms();
    struct pollfd fd = {.fd = source_fd(reading.source), .events = POLLIN};

    while (reading.left > left) {
        for (size_t i = 0; i < PARTITIONS; i++) {
            take_some(i);
            reading.most = assigned() > reading.most ? assigned() : reading.most;
        }
        poll(&fd, 1, 10);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
    }
}

static void with_little_memory_one_is_read_after_the_other(void **state)
{
    open_source(*state, "one", 256 << 10);
    for (int64_t from = 0; from < RECORDS; from += RECORDS / 4) {
        begin(from, from + RECORDS / 4);
        assert_int_equal(assigned(), 1);
        read_until_left(0);
    }
    assert_int_equal(reading.most, 1);
    begin(RECORDS / 2, RECORDS / 2); /* nothing to read, in none of them */
    read_until_left(0);
    source_free(reading.source);
}

static void with_enough_memory_all_are_read_at_the_same_time(void **state)
{
    open_source(*state, "all", 32 << 20);
    begin(0, RECORDS);
    assert_int_equal(assigned(), PARTITIONS);
    read_until_left(0);
    source_free(reading.source);
}

/* What is found in one queue is more than its share: the others wait from then on, and as batches
 * go by that is forgotten. */
static void when_records_are_large_fewer_are_read_at_the_same_time(void **state)
{
    struct source_part *part;
    struct err err;

    open_source(*state, "large", 32 << 20);
    begin(0, RECORDS / 2);
    part = reading.source->reading[3];
    part->took = reading.source->fetch_all / 2;
    assert_true(source_window_took(reading.source, part, &err));
    assert_int_equal(assigned(), 2);
    assert_true(part->assigned);
    reading.most = 0;
    read_until_left(0);
    assert_int_equal(reading.most, 2);
    for (unsigned batch = 0; batch < 100; batch++) {
        begin(RECORDS / 2, RECORDS / 2 + 1);
    }
    assert_int_equal(assigned(), PARTITIONS);
    read_until_left(0);
    source_free(reading.source);
}

static void one_that_gives_nothing_makes_room_for_the_others(void **state)
{
    struct mock *mock = *state;

    open_source(mock, "stuck", 256 << 10);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        rd_kafka_mock_partition_set_leader(mock->cluster, topic, i, i < 2 ? 2 : 1);
    }
    rd_kafka_mock_broker_set_down(mock->cluster, 2);
    begin(0, RECORDS);
    read_until_left(2);
    assert_false(reading.done[0] || reading.done[1]);
    rd_kafka_mock_broker_set_up(mock->cluster, 2);
    read_until_left(0);
    assert_int_equal(reading.most, 1);
    source_free(reading.source);
}

static void one_whose_reading_begins_again_lets_the_others_go_first(void **state)
{
    struct err err;

    open_source(*state, "again", 256 << 10);
    begin(0, RECORDS);
    for (size_t i = 0; i < 2 * PARTITIONS; i++) {
        size_t index = i % PARTITIONS;

        assert_true(reading.source->reading[index]->assigned);
        assert_int_equal(assigned(), 1);
        assert_true(source_retry(reading.source, &index, 1, &err));
        source_tidy(reading.source); /* no message was taken */
    }
    read_until_left(0);
    source_free(reading.source);
}

/* A recovery that compares reads the ranges in the order that the outputs ask for. */
static void whoever_needs_one_range_alone_gets_it_whatever_the_others_do(void **state)
{
    int64_t begun_ms = wait_now_ms();
    size_t index = PARTITIONS - 1;
    struct err err;

    open_source(*state, "wanted", 256 << 10);
    begin(0, RECORDS);
    while (reading.left > 0) {
        int64_t before = reading.next[index];

        assert_true(source_want(reading.source, index, &err));
        take_some(index);
        assert_int_equal(assigned(), 1);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        if (reading.done[index] || reading.next[index] > before) {
            index = (index + PARTITIONS - 1) % PARTITIONS;
        }
    }
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
        cmocka_unit_test(with_little_memory_one_is_read_after_the_other),
        cmocka_unit_test(with_enough_memory_all_are_read_at_the_same_time),
        cmocka_unit_test(when_records_are_large_fewer_are_read_at_the_same_time),
        cmocka_unit_test(one_that_gives_nothing_makes_room_for_the_others),
        cmocka_unit_test(one_whose_reading_begins_again_lets_the_others_go_first),
        cmocka_unit_test(whoever_needs_one_range_alone_gets_it_whatever_the_others_do),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
