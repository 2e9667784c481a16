/* Questions to brokers: where logs begin and end, what topics are; with brokers away, leaders
 * moving and stops. */
#include "support_mock.h"

#include "source_ends.h"
#include "topic_facts.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

enum { NOTICED_MS_MAX = 200 }; /* promised: 100; the machine may be busy */

static void an_idle_question_is_answered_at_once(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct ends *ends = ends_ask(ask, ENDS_LAST, NULL, 0);
    struct err err;
    bool done = false;

    assert_true(ends_wait(ends, 0, &done, &err));
    assert_true(done);
    ends_free(ends);
    ends_free(NULL);
    client_free(ask, "test");
}

static void logs_begin_and_end_where_they_do(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item items[] = {
        /* not in order, topics mixed: the answers must find their items */
        {.topic = "two", .partition = 1}, {.topic = "one", .partition = 0},
        {.topic = "two", .partition = 0}, {.topic = "one", .partition = 2},
        {.topic = "one", .partition = 1},
    };
    static const int64_t LAST[] = {21, 10, 20, 12, 11};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "one", 3);
    mock_topic(mock, "two", 2);
    for (int32_t i = 0; i < 3; i++) {
        mock_feed(mock, "one", i, 0, 10 + i);
    }
    for (int32_t i = 0; i < 2; i++) {
        mock_feed(mock, "two", i, 0, 20 + i);
    }
    for (enum ends_of of = ENDS_FIRST; of <= ENDS_TIME; of++) {
        assert_true(ends_get(ask, of, items, 5, &patience, &err));
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(items[i].error, 0);
            /* The mock knows no times and no open transactions: both are the end. */
            assert_int_equal(items[i].offset, of == ENDS_FIRST ? 0 : LAST[i]);
        }
    }
    client_free(ask, "test");
}

/* More than go into one request; one of the requests fails, and all are asked again. */
static void many_partitions_are_asked_in_parts(void **state)
{
    enum { MANY = 250 };
    static const int32_t FED[] = {0, 99, 100, 199, 200, 249};
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item items[MANY];
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "many", MANY);
    for (size_t i = 0; i < sizeof(FED) / sizeof(FED[0]); i++) {
        mock_feed(mock, "many", FED[i], 0, (int)i + 1);
    }
    for (int32_t p = 0; p < MANY; p++) {
        items[MANY - 1 - p] = (struct ends_item){.topic = "many", .partition = p};
    }
    for (int failed = 0; failed < 2; failed++) {
        if (failed == 1) {
            rd_kafka_mock_push_request_errors(mock->cluster, 2 /* ListOffsets */, 1,
                                              RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        }
        assert_true(ends_get(ask, ENDS_TIME, items, MANY, &patience, &err));
        for (int32_t p = 0; p < MANY; p++) {
            int64_t end = 0;

            for (size_t i = 0; i < sizeof(FED) / sizeof(FED[0]); i++) {
                end = FED[i] == p ? (int64_t)i + 1 : end;
            }
            assert_int_equal(items[MANY - 1 - p].error, 0);
            assert_int_equal(items[MANY - 1 - p].offset, end);
        }
    }
    client_free(ask, "test");
}

static void a_leader_that_moved_is_found(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item item = {.topic = "moved", .partition = 0};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "moved", 1);
    mock_feed(mock, "moved", 0, 0, 5);
    for (int32_t leader = 1; leader <= 2; leader++) {
        rd_kafka_mock_partition_set_leader(mock->cluster, "moved", 0, leader);
        assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
        assert_int_equal(item.offset, 5);
    }
    /* … and its old broker is gone. */
    assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    rd_kafka_mock_partition_set_leader(mock->cluster, "moved", 0, 1);
    rd_kafka_mock_broker_set_down(mock->cluster, 2);
    assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    assert_int_equal(item.offset, 5);
    rd_kafka_mock_broker_set_up(mock->cluster, 2);
    client_free(ask, "test");
}

static void trouble_that_passes_is_waited_out(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item item = {.topic = "trouble", .partition = 0};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "trouble", 1);
    mock_feed(mock, "trouble", 0, 0, 5);
    rd_kafka_mock_push_request_errors(
        mock->cluster, 2 /* ListOffsets */, 4, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    assert_int_equal(item.offset, 5);
    client_free(ask, "test");
}

static void what_is_not_permitted_is_told_with_its_place(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item item = {.topic = "secret", .partition = 0};
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "secret", 1);
    rd_kafka_mock_push_request_errors(mock->cluster, 2 /* ListOffsets */, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_false(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "secret[0]"));
    client_free(ask, "test");
}

static void without_a_broker_questions_wait_stop_and_time_out(void **state)
{
    struct mock *mock = *state;
    const char *topics[] = {"later"};
    struct ends_item item = {.topic = "later", .partition = 0};
    struct err err = {.kind = ERR_NONE};
    struct topic_facts *facts;
    struct patience patience;
    rd_kafka_t *ask;
    int64_t begun_ms;

    mock_topic(mock, "later", 2);
    mock_away(mock, 2);
    begun_ms = wait_now_ms();
    ask = mock_client(mock, CLIENT_ASK);
    facts = topic_facts_new(ask, topics, 1);
    topic_facts_ask(facts);
    assert_true(wait_now_ms() - begun_ms < NOTICED_MS_MAX);

    patience = mock_stop_after(300);
    begun_ms = wait_now_ms();
    assert_false(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_in_range(wait_now_ms() - begun_ms, 300, 300 + NOTICED_MS_MAX);

    patience = mock_stop_after(300);
    begun_ms = wait_now_ms();
    assert_false(topic_facts_refresh(facts, &patience, &err));
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_in_range(wait_now_ms() - begun_ms, 300, 300 + NOTICED_MS_MAX);

    patience = mock_patience(300);
    assert_false(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    assert_int_equal(err.kind, ERR_TEMPORARY);

    assert_false(topic_facts_step(facts, 0));
    mock_back(mock, 2);
    patience = mock_patience(20000);
    assert_true(topic_facts_refresh(facts, &patience, &err));
    assert_int_equal(topic_facts_find(facts, "later")->partitions, 2);
    assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err));
    topic_facts_free(facts);
    client_free(ask, "test");
}

static void facts_come_for_topics_that_are_there_and_are_zero_for_others(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    const char *topics[] = {"here", "not-here"};
    struct topic_facts *facts = topic_facts_new(ask, topics, 2);
    struct patience patience = mock_patience(20000);
    struct err err = {.kind = ERR_NONE};

    mock_topic(mock, "here", 4);
    assert_true(topic_facts_refresh(facts, &patience, &err));
    assert_int_equal(topic_facts_find(facts, "here")->partitions, 4);
    assert_int_equal(topic_facts_find(facts, "here")->replicas, 1);
    assert_int_equal(topic_facts_find(facts, "not-here")->partitions, 0);
    assert_string_equal(topic_facts_find(facts, "here")->topic_id, "");
    assert_int_equal(topic_facts_find(facts, "here")->max_message_bytes, -1);
    assert_null(topic_facts_find(facts, "unasked"));
    mock_topic(mock, "not-here", 1);
    assert_true(topic_facts_refresh(facts, &patience, &err));
    assert_int_equal(topic_facts_find(facts, "not-here")->partitions, 1);
    topic_facts_free(facts);
    client_free(ask, "test");
}

static void ids_that_nobody_tells_are_given_up_in_time(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    const char *topics[] = {"silent"};
    struct topic_facts *facts = topic_facts_new(ask, topics, 1);
    int64_t begun_ms = wait_now_ms();

    mock_topic(mock, "silent", 1);
    assert_true(topic_facts_step(facts, 0)); /* nothing asked, nothing to wait for */
    topic_facts_ask(facts);
    while (!topic_facts_step(facts, 100)) {
        assert_true(wait_now_ms() - begun_ms < TOPIC_ANSWER_MS + 2000);
    }
    assert_false(topic_facts_find(facts, "silent")->described);
    topic_facts_free(facts);
    client_free(ask, "test");
}

static void a_handle_with_questions_under_way_ends_at_once(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask;
    const char *topics[] = {"ending"};
    struct topic_facts *facts;
    struct ends_item item = {.topic = "ending", .partition = 0};
    int64_t begun_ms;

    mock_away(mock, 2);
    ask = mock_client(mock, CLIENT_ASK);
    facts = topic_facts_new(ask, topics, 1);
    topic_facts_ask(facts);
    ends_free(ends_ask(ask, ENDS_LAST, &item, 1));
    begun_ms = wait_now_ms();
    topic_facts_free(facts);
    client_free(ask, "test");
    assert_true(wait_now_ms() - begun_ms < 3000);
    mock_back(mock, 2);
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
        cmocka_unit_test(an_idle_question_is_answered_at_once),
        cmocka_unit_test(logs_begin_and_end_where_they_do),
        cmocka_unit_test(many_partitions_are_asked_in_parts),
        cmocka_unit_test(a_leader_that_moved_is_found),
        cmocka_unit_test(trouble_that_passes_is_waited_out),
        cmocka_unit_test(what_is_not_permitted_is_told_with_its_place),
        cmocka_unit_test(without_a_broker_questions_wait_stop_and_time_out),
        cmocka_unit_test(facts_come_for_topics_that_are_there_and_are_zero_for_others),
        cmocka_unit_test(ids_that_nobody_tells_are_given_up_in_time),
        cmocka_unit_test(a_handle_with_questions_under_way_ends_at_once),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
