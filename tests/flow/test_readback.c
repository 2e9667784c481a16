/* Outputs read back on the mock cluster. */
#include "support_mock.h"

#include "readback.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

enum { SPANS = 3 };

struct seen {
    int64_t next[SPANS];
    int count;
    int refuse_at; /* 0 = never */
};

static bool on_found(void *arg, size_t span, const rd_kafka_message_t *message, struct err *err)
{
    struct seen *seen = arg;

    if (++seen->count == seen->refuse_at) {
        return err_set(err, ERR_DECISION, 0, "seen enough");
    }
    assert_int_equal(message->offset, seen->next[span]);
    seen->next[span]++;
    return true;
}

static struct readback *new_readback(struct mock *mock)
{
    struct readback *readback = NULL;
    struct err err;

    assert_true(readback_new(&mock->config, false, &readback, &err));
    return readback;
}

static void spans_are_read_to_their_ends_and_further_when_those_move(void **state)
{
    struct mock *mock = *state;
    struct readback *readback = new_readback(mock);
    struct patience patience = mock_patience(20000);
    struct readback_span spans[SPANS] = {
        {.topic = "b", .partition = 0, .from = 5, .until = 50},
        {.topic = "a", .partition = 1, .from = 0, .until = 100},
        {.topic = "a", .partition = 0, .from = 20, .until = 20},
    };
    struct seen seen = {.next = {5, 0, 20}};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "a", 2);
    mock_topic(mock, "b", 1);
    mock_feed(mock, "a", 0, 0, 60);
    mock_feed(mock, "a", 1, 0, 150);
    mock_feed(mock, "b", 0, 0, 80);
    assert_true(readback_read(readback, spans, SPANS, on_found, &seen, &patience, &err));
    assert_int_equal(seen.count, 45 + 100);
    for (size_t i = 0; i < SPANS; i++) {
        assert_int_equal(spans[i].from, spans[i].until);
        assert_int_equal(seen.next[i], spans[i].until);
    }
    assert_true(readback_read(readback, spans, SPANS, on_found, &seen, &patience, &err));
    assert_int_equal(seen.count, 45 + 100);
    spans[0].until = 80;
    spans[1].until = 101;
    spans[2].until = 60;
    assert_true(readback_read(readback, spans, SPANS, on_found, &seen, &patience, &err));
    assert_int_equal(seen.count, 75 + 101 + 40);
    readback_free(readback);
    readback_free(NULL);
}

static void whoever_looks_can_end_the_reading(void **state)
{
    struct mock *mock = *state;
    struct readback *readback = new_readback(mock);
    struct patience patience = mock_patience(20000);
    struct readback_span span = {.topic = "ended", .partition = 0, .from = 0, .until = 100};
    struct seen seen = {.refuse_at = 8};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "ended", 1);
    mock_feed(mock, "ended", 0, 0, 100);
    assert_false(readback_read(readback, &span, 1, on_found, &seen, &patience, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_string_equal(err.text, "seen enough");
    assert_int_equal(span.from, 7);
    readback_free(readback);
}

static void an_end_that_isnt_there_is_refused_with_its_place(void **state)
{
    struct mock *mock = *state;
    struct readback *readback = new_readback(mock);
    struct patience patience = mock_patience(20000);
    struct readback_span span = {.topic = "short", .partition = 0, .from = 50, .until = 60};
    struct seen seen = {.next = {50}};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "short", 1);
    mock_feed(mock, "short", 0, 0, 10);
    assert_false(readback_read(readback, &span, 1, on_found, &seen, &patience, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "short[0]"));
    assert_non_null(strstr(err.text, "offset 50"));
    assert_non_null(strstr(err.text, "begins at 0"));
    readback_free(readback);
}

static void without_a_broker_it_waits_and_stops_when_asked(void **state)
{
    struct mock *mock = *state;
    struct readback *readback;
    struct patience patience;
    struct readback_span span = {.topic = "away", .partition = 0, .from = 0, .until = 10};
    struct seen seen = {.count = 0};
    struct err err = {.kind = ERR_NONE};
    int64_t begun_ms;

    mock_topic(mock, "away", 1);
    mock_feed(mock, "away", 0, 0, 10);
    mock_away(mock, 1);
    readback = new_readback(mock);
    patience = mock_stop_after(300);
    begun_ms = wait_now_ms();
    assert_false(readback_read(readback, &span, 1, on_found, &seen, &patience, &err));
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_true(wait_now_ms() - begun_ms < 500);
    mock_back(mock, 1);
    patience = mock_patience(20000);
    assert_true(readback_read(readback, &span, 1, on_found, &seen, &patience, &err));
    assert_int_equal(seen.count, 10);
    readback_free(readback);
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
        cmocka_unit_test(spans_are_read_to_their_ends_and_further_when_those_move),
        cmocka_unit_test(whoever_looks_can_end_the_reading),
        cmocka_unit_test(an_end_that_isnt_there_is_refused_with_its_place),
        cmocka_unit_test(without_a_broker_it_waits_and_stops_when_asked),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
