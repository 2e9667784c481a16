/* Second readers, against librdkafka's mock cluster: answers that are slow, on one connection or on
 * any, and each record once, in order. */
#include "support_mock.h"

#include "source_read.h"
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 3,
    TAKE_MAX = 40,
    WAIT_MS_MAX = 60000,
    SLOW_MS = 20000,
    SLOW_BROKER = 1,
    OTHER_BROKER = 2,
    FETCH = 1,
};

static char topic[32];
static struct definition_input input = {.topic = topic};
static const struct definition DEFINITION = {.inputs = &input, .input_count = 1};

/* Partition 0 is led by the broker that will be slow. */
static struct source *open_source(struct mock *mock, int records)
{
    static int count;
    struct source *source = NULL;
    struct err err;

    snprintf(topic, sizeof(topic), "hedged-%d", ++count);
    mock_topic(mock, topic, PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        rd_kafka_mock_partition_set_leader(mock->cluster, topic, i,
                                           i == 0 ? SLOW_BROKER : OTHER_BROKER);
        mock_feed(mock, topic, i, 0, records);
    }
    mock->config.speculation =
        (struct speculation_settings){.enabled = true, .quantile = 0.75, .multiplier = 1.5};
    mock->config.speculation.interval_ms = 1;
    mock->config.speculation.min_runtime_ms = 5;
    assert_true(source_new(&mock->config, PARTITIONS, &source, &err));
    return source;
}

static void check_value(const rd_kafka_message_t *message, int64_t offset)
{
    char value[16];

    snprintf(value, sizeof(value), "%d", (int)offset);
    assert_int_equal(message->offset, offset);
    assert_int_equal(message->len, strlen(value));
    assert_memory_equal(message->payload, value, strlen(value));
}

/* Reads [from, until) of every partition, and checks that each record comes once, in order. */
static void read_batch(struct source *source, int64_t from, int64_t until)
{
    struct range ranges[PARTITIONS];
    int64_t next[PARTITIONS];
    bool done[PARTITIONS] = {false};
    size_t left = PARTITIONS;
    int64_t begun_ms = wait_now_ms();
    struct err err = {.kind = ERR_NONE};

    for (int32_t i = 0; i < PARTITIONS; i++) {
        ranges[i] = (struct range){
            .partition = i, .from = from, .until = until, .leader_epoch = -1, .end_epoch = -1};
        next[i] = from;
    }
    assert_true(source_begin(source, &DEFINITION, ranges, PARTITIONS, &err));
    while (left > 0) {
        struct pollfd fd = {.fd = source_fd(source), .events = POLLIN};
        bool moved = false;

        for (size_t i = 0; i < PARTITIONS; i++) {
            rd_kafka_message_t *messages[TAKE_MAX];
            struct source_taken taken = {.count = 0};

            if (done[i]) {
                continue;
            }
            if (!source_take(source, i, messages, TAKE_MAX, &taken, &err)) {
                fail_msg("%s", err.text);
            }
            assert_int_equal(taken.trouble, SOURCE_FINE);
            for (size_t m = 0; m < taken.count; m++) {
                check_value(messages[m], next[i]++);
                rd_kafka_message_destroy(messages[m]);
            }
            done[i] = taken.done;
            left -= taken.done ? 1 : 0;
            moved |= taken.done || taken.count > 0;
        }
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        if (!moved) {
            poll(&fd, 1, source_wait_ms(source, 20));
        }
    }
    for (size_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(next[i], until);
    }
    if (source_has_retired(source)) {
        source_tidy(source);
    }
}

static void a_second_reader_doesnt_wait_for_the_firsts_answer(void **state)
{
    struct mock *mock = *state;
    struct source *source = open_source(mock, 300);
    int64_t begun_ms;

    /* The first answer is the first reader's. */
    rd_kafka_mock_broker_push_request_error_rtts(mock->cluster, SLOW_BROKER, FETCH, 1,
                                                 RD_KAFKA_RESP_ERR_NO_ERROR, SLOW_MS);
    begun_ms = wait_now_ms();
    read_batch(source, 0, 300);
    assert_true(wait_now_ms() - begun_ms < SLOW_MS);
    source_free(source);
}

/* Now one reader is ahead, now the other, and each goes on in the next batch from where it is. */
static void each_record_comes_once_however_slow_the_answers_are(void **state)
{
    enum { BATCHES = 40, BATCH = 50 };
    struct mock *mock = *state;
    struct source *source = open_source(mock, BATCHES * BATCH);
    unsigned seed = 7;

    for (int i = 0; i < BATCHES; i++) {
        for (int n = 0; n < 3; n++) {
            seed = seed * 1103515245U + 12345U;
            rd_kafka_mock_broker_push_request_error_rtts(mock->cluster, SLOW_BROKER, FETCH, 1,
                                                         RD_KAFKA_RESP_ERR_NO_ERROR,
                                                         (int)(seed >> 16) % 60);
        }
        read_batch(source, (int64_t)i * BATCH, (int64_t)(i + 1) * BATCH);
    }
    source_free(source);
}

/* The same with records that wait for their second reader's answer when the batch is over. */
static void a_source_ends_with_second_readers_at_work(void **state)
{
    struct mock *mock = *state;
    struct source *source = open_source(mock, 300);
    int64_t begun_ms = wait_now_ms();

    for (int i = 0; i < 4; i++) {
        rd_kafka_mock_broker_push_request_error_rtts(mock->cluster, SLOW_BROKER, FETCH, 1,
                                                     RD_KAFKA_RESP_ERR_NO_ERROR, 1500);
    }
    read_batch(source, 0, 20);
    source_free(source);
    assert_true(wait_now_ms() - begun_ms < SLOW_MS);
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
        cmocka_unit_test_setup_teardown(a_second_reader_doesnt_wait_for_the_firsts_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_record_comes_once_however_slow_the_answers_are, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_source_ends_with_second_readers_at_work, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
