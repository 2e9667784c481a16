/* The probe for compacted tails: what it concludes, and that a broker that is away is no proof of
 * anything. */
#include "support_mock.h"

#include "source_probe.h"
#include "source_read.h"
#include "wait.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    AWAY_MS = SOURCE_STALL_MS + 4000,
    AGAIN_MS = 3000, /* before the broker is back: a probe is under way then */
    SLOW_MS = 50,
    WAIT_MS_MAX = 30000,
};

static enum source_probe_answer answer_of(struct mock *mock, int64_t from, int64_t until)
{
    struct source_probe *probe = source_probe_new(&mock->config, "probed", 0, from, until);
    enum source_probe_answer answer = PROBE_UNKNOWN;
    int64_t begun_ms = wait_now_ms();

    assert_non_null(probe);
    while (answer == PROBE_UNKNOWN) {
        answer = source_probe_step(probe);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        poll(NULL, 0, 10);
    }
    source_probe_free(probe);
    return answer;
}

static void records_are_found_and_an_end_is_believed(void **state)
{
    struct mock *mock = *state;

    mock_topic(mock, "probed", 1);
    mock_feed(mock, "probed", 0, 0, 100);
    assert_int_equal(answer_of(mock, 0, 50), PROBE_RECORDS);
    assert_int_equal(answer_of(mock, 99, 100), PROBE_RECORDS);
    assert_int_equal(answer_of(mock, 50, 50), PROBE_EMPTY);   /* the next record is at `until` */
    assert_int_equal(answer_of(mock, 100, 100), PROBE_EMPTY); /* the end is at `until` */
}

static void while_the_broker_is_away_it_doesnt_know(void **state)
{
    struct mock *mock = *state;
    struct source_probe *probe;
    int64_t begun_ms;

    mock_away(mock, 1);
    probe = source_probe_new(&mock->config, "probed", 0, 0, 50);
    for (begun_ms = wait_now_ms(); wait_now_ms() - begun_ms < 4000; poll(NULL, 0, 50)) {
        assert_int_equal(source_probe_step(probe), PROBE_UNKNOWN);
    }
    mock_back(mock, 1);
    while (source_probe_step(probe) == PROBE_UNKNOWN) {
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        poll(NULL, 0, 10);
    }
    source_probe_free(probe);
    source_probe_free(NULL);
}

/* The client knows from before that the log goes on, and nothing comes for longer than
 * SOURCE_STALL_MS: not a stall. Meanwhile its reading goes on with a fresh consumer, and the one
 * that the probe was begun for ends. */
static void a_range_is_not_called_empty_while_its_broker_is_away(void **state)
{
    struct mock *mock = *state;
    struct definition_input input = {.topic = "away"};
    struct definition definition = {.inputs = &input, .input_count = 1};
    struct range range = {.partition = 0, .from = 0, .until = 400, .leader_epoch = -1};
    rd_kafka_message_t *messages[10];
    struct source_taken taken = {.done = false};
    struct source *source = NULL;
    struct err err = {.kind = ERR_NONE};
    int64_t begun_ms = wait_now_ms();
    int64_t back_ms = -1;
    int64_t next = 0;
    bool again = false;

    mock_topic(mock, "away", 1);
    for (int i = 0; i < 40; i++) {
        mock_feed(mock, "away", 0, i * 10, 10); /* the mock answers a fetch with one of these */
    }
    rd_kafka_mock_broker_set_rtt(mock->cluster, 1, SLOW_MS); /* it won't have sent all by then */
    rd_kafka_mock_broker_set_rtt(mock->cluster, 1, 50);      /* so that it goes in mid-range */
    assert_true(source_new(&mock->config, 1, &source, &err));
    assert_true(source_begin(source, &definition, &range, 1, &err));
    while (!taken.done) {
        assert_true(source_take(source, 0, messages, 10, &taken, &err));
        for (size_t i = 0; i < taken.count; i++) {
            assert_int_equal(messages[i]->offset, next++);
            rd_kafka_message_destroy(messages[i]);
        }
        if (next > 0 && back_ms < 0) {
            mock_away(mock, 1);
            back_ms = wait_now_ms() + AWAY_MS;
        }
        if (!again && back_ms > 0 && wait_now_ms() >= back_ms - AGAIN_MS) {
            assert_true(source_retry(source, &(size_t){0}, 1, &err));
            source_tidy(source);
            again = true;
        }
        if (back_ms > 0 && wait_now_ms() >= back_ms) {
            mock_back(mock, 1);
            rd_kafka_mock_broker_set_rtt(mock->cluster, 1, 0);
            back_ms = INT64_MAX;
        }
        assert_false(taken.stalled);
        assert_int_equal(taken.trouble, SOURCE_FINE);
        assert_true(wait_now_ms() - begun_ms < WAIT_MS_MAX);
        if (taken.count == 0) {
            poll(NULL, 0, 10);
        }
    }
    assert_int_equal(next, 400);
    rd_kafka_mock_broker_set_rtt(mock->cluster, 1, 0);
    assert_true(again);
    assert_int_equal(back_ms, INT64_MAX); /* else it was all there before the broker went */
    source_free(source);
}

static int set_up(void **state)
{
    *state = mock_new(1);
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
        cmocka_unit_test(records_are_found_and_an_end_is_believed),
        cmocka_unit_test(while_the_broker_is_away_it_doesnt_know),
        cmocka_unit_test(a_range_is_not_called_empty_while_its_broker_is_away),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
