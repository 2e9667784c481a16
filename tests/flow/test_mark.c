/* The group's mark, written and read on the mock cluster: whose it is, and who may overwrite it. */
#include "support_mock.h"

#include "mark.h"
#include "wait.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define OURS   "0123456789abcdef0123456789abcdef"
#define THEIRS "ffffffffffffffff0123456789abcdef"

enum { PARTITIONS = 3, DONE_MS_MAX = 20000, GIVEN_UP_MS = 6500 };

static struct mark_item *items_at(struct mark_item items[PARTITIONS], int64_t offset)
{
    for (int32_t i = 0; i < PARTITIONS; i++) {
        items[i] = (struct mark_item){.topic = "in", .partition = i, .offset = offset + i};
    }
    return items;
}

static bool finish(struct mark_writer *writer, struct err *err)
{
    int64_t begun_ms = wait_now_ms();

    while (!mark_idle(writer)) {
        struct pollfd fd = {.fd = mark_fd(writer), .events = POLLIN};

        if (!mark_step(writer, err)) {
            return false;
        }
        if (!mark_idle(writer)) {
            poll(&fd, 1, 100);
        }
        assert_true(wait_now_ms() - begun_ms < DONE_MS_MAX);
    }
    return true;
}

static struct mark_writer *writer_of(rd_kafka_t *ask, const char *group, const char *incarnation)
{
    return mark_writer_new(ask, group, OURS, incarnation);
}

static void a_mark_is_read_as_it_was_written(void **state)
{
    rd_kafka_t *ask = mock_client(*state, CLIENT_ASK);
    struct mark_writer *writer = writer_of(ask, "round", "aaaaaaaa");
    struct patience patience = mock_patience(20000);
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};

    assert_true(
        mark_read(ask, "round", MARK_AS_IT_IS, items_at(items, 0), PARTITIONS, &patience, &err));
    for (int32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(items[i].offset, -1);
        assert_false(items[i].ours);
    }
    for (int64_t batch = 1; batch <= 3; batch++) {
        mark_begin(writer, batch, items_at(items, 100 * batch), PARTITIONS, batch == 1);
        assert_false(mark_idle(writer));
        assert_true(finish(writer, &err));
        assert_int_equal(mark_written(writer), batch);
        assert_false(mark_moved(writer));
    }
    assert_true(
        mark_read(ask, "round", MARK_AS_IT_IS, items_at(items, 0), PARTITIONS, &patience, &err));
    for (int32_t i = 0; i < PARTITIONS; i++) {
        assert_int_equal(items[i].offset, 300 + i);
        assert_true(items[i].ours);
        assert_string_equal(items[i].text.uuid, OURS);
        assert_string_equal(items[i].text.incarnation, "aaaaaaaa");
        assert_int_equal(items[i].text.batch, 3);
        assert_int_equal(items[i].text.slices, 1);
    }
    mark_writer_free(writer);
    client_free(ask, "test");
}

/* The client gives up a question to a coordinator that is away, and looks for the coordinator all
 * the same: what it does when that one is found must not touch what is over. */
static void a_question_given_up_is_over_when_the_coordinator_comes_back(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct mark_writer *writer = writer_of(ask, "gone", "aaaaaaaa");
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};
    int64_t begun_ms;

    mark_begin(writer, 1, items_at(items, 100), PARTITIONS, true);
    assert_true(finish(writer, &err));
    mock_away(mock, 1);
    mark_begin(writer, 2, items_at(items, 200), PARTITIONS, false);
    for (begun_ms = wait_now_ms(); wait_now_ms() - begun_ms < GIVEN_UP_MS;) {
        assert_true(mark_step(writer, &err));
        poll(NULL, 0, 20);
    }
    assert_false(mark_idle(writer));
    mock_back(mock, 1);
    assert_true(finish(writer, &err));
    assert_int_equal(mark_written(writer), 2);
    mark_writer_free(writer);
    client_free(ask, "test");
}

static void write_as(rd_kafka_t *ask, const char *group, const char *uuid, const char *incarnation,
                     int64_t batch)
{
    struct mark_writer *writer = mark_writer_new(ask, group, uuid, incarnation);
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};

    mark_begin(writer, batch, items_at(items, batch), PARTITIONS, true);
    assert_true(finish(writer, &err));
    mark_writer_free(writer);
}

static bool may_write(rd_kafka_t *ask, const char *group, int64_t batch, bool accept,
                      struct err *err)
{
    struct mark_writer *writer = writer_of(ask, group, "bbbbbbbb");
    struct mark_item items[PARTITIONS];
    bool may;

    mark_begin(writer, batch, items_at(items, batch), PARTITIONS, accept);
    may = finish(writer, err);
    assert_true(mark_idle(writer));
    assert_int_equal(mark_written(writer), may ? batch : 0);
    mark_writer_free(writer);
    return may;
}

static void a_start_overwrites_the_marks_of_earlier_starts_only_when_told(void **state)
{
    rd_kafka_t *ask = mock_client(*state, CLIENT_ASK);
    struct err err = {.kind = ERR_NONE};

    write_as(ask, "starts", OURS, "aaaaaaaa", 5);
    assert_false(may_write(ask, "starts", 6, false, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "aaaaaaaa"));
    assert_non_null(strstr(err.text, "bbbbbbbb"));
    assert_true(may_write(ask, "starts", 6, true, &err));
    assert_true(may_write(ask, "starts", 7, false, &err));
    client_free(ask, "test");
}

static void another_ledgers_mark_is_never_overwritten(void **state)
{
    rd_kafka_t *ask = mock_client(*state, CLIENT_ASK);
    struct err err = {.kind = ERR_NONE};

    write_as(ask, "others", THEIRS, "aaaaaaaa", 5);
    assert_false(may_write(ask, "others", 6, true, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "ffffffffffff"));
    client_free(ask, "test");
}

static void a_mark_ahead_of_the_ledger_is_never_set_back(void **state)
{
    rd_kafka_t *ask = mock_client(*state, CLIENT_ASK);
    struct err err = {.kind = ERR_NONE};

    write_as(ask, "ahead", OURS, "aaaaaaaa", 9);
    assert_false(may_write(ask, "ahead", 8, true, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    client_free(ask, "test");
}

/* As kafka-consumer-groups --reset-offsets does it. */
static void reset_offsets(rd_kafka_t *ask, const char *group)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(ask);
    rd_kafka_AlterConsumerGroupOffsets_t *order;
    rd_kafka_event_t *event;

    rd_kafka_topic_partition_list_add(list, "in", 1)->offset = 3;
    order = rd_kafka_AlterConsumerGroupOffsets_new(group, list);
    rd_kafka_AlterConsumerGroupOffsets(ask, &order, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, 10000);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_AlterConsumerGroupOffsets_destroy(order);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
}

static void offsets_that_somebody_moved_are_told_once_and_written_over(void **state)
{
    rd_kafka_t *ask = mock_client(*state, CLIENT_ASK);
    struct mark_writer *writer = writer_of(ask, "moved", "aaaaaaaa");
    struct patience patience = mock_patience(20000);
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};

    mark_begin(writer, 1, items_at(items, 10), PARTITIONS, true);
    assert_true(finish(writer, &err));
    reset_offsets(ask, "moved");
    mark_begin(writer, 2, items_at(items, 20), PARTITIONS, false);
    assert_true(finish(writer, &err));
    assert_true(mark_moved(writer));
    assert_false(mark_moved(writer));
    assert_true(
        mark_read(ask, "moved", MARK_AS_IT_IS, items_at(items, 0), PARTITIONS, &patience, &err));
    assert_int_equal(items[1].offset, 21);
    mark_writer_free(writer);
    client_free(ask, "test");
}

static void trouble_that_passes_only_delays_a_mark(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct mark_writer *writer = writer_of(ask, "trouble", "aaaaaaaa");
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};

    rd_kafka_mock_push_request_errors(mock->cluster, 9 /* OffsetFetch */, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR__TRANSPORT);
    rd_kafka_mock_push_request_errors(mock->cluster, 8 /* OffsetCommit */, 2,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    mark_begin(writer, 1, items_at(items, 10), PARTITIONS, true);
    assert_true(finish(writer, &err));
    assert_int_equal(mark_written(writer), 1);
    mark_writer_free(writer);
    client_free(ask, "test");
}

static void a_group_with_members_is_refused(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct err err = {.kind = ERR_NONE};

    rd_kafka_mock_push_request_errors(mock->cluster, 8 /* OffsetCommit */, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    assert_false(may_write(ask, "members", 1, true, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "joined"));
    client_free(ask, "test");
}

static void without_a_coordinator_nothing_waits(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct mark_writer *writer = writer_of(ask, "away", "aaaaaaaa");
    struct patience patience;
    struct mark_item items[PARTITIONS];
    struct err err = {.kind = ERR_NONE};
    int64_t begun_ms;

    mock_away(mock, 1);
    patience = mock_stop_after(300);
    begun_ms = wait_now_ms();
    assert_false(
        mark_read(ask, "away", MARK_AS_IT_IS, items_at(items, 0), PARTITIONS, &patience, &err));
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_true(wait_now_ms() - begun_ms < 500);
    mark_begin(writer, 1, items_at(items, 10), PARTITIONS, true);
    for (int i = 0; i < 20; i++) {
        begun_ms = wait_now_ms();
        assert_true(mark_step(writer, &err));
        assert_true(wait_now_ms() - begun_ms < 100);
        assert_false(mark_idle(writer));
        poll(NULL, 0, 10);
    }
    mock_back(mock, 1);
    assert_true(finish(writer, &err));
    mark_begin(writer, 2, items_at(items, 20), PARTITIONS, false);
    assert_true(mark_step(writer, &err));
    mark_writer_free(writer); /* with a question under way */
    mark_writer_free(NULL);
    client_free(ask, "test");
}

static int set_up(void **state)
{
    struct mock *mock = mock_new(1);

    mock_topic(mock, "in", PARTITIONS);
    *state = mock;
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
        cmocka_unit_test(a_mark_is_read_as_it_was_written),
        cmocka_unit_test(a_start_overwrites_the_marks_of_earlier_starts_only_when_told),
        cmocka_unit_test(another_ledgers_mark_is_never_overwritten),
        cmocka_unit_test(a_mark_ahead_of_the_ledger_is_never_set_back),
        cmocka_unit_test(offsets_that_somebody_moved_are_told_once_and_written_over),
        cmocka_unit_test(trouble_that_passes_only_delays_a_mark),
        cmocka_unit_test(a_group_with_members_is_refused),
        cmocka_unit_test(a_question_given_up_is_over_when_the_coordinator_comes_back),
        cmocka_unit_test(without_a_coordinator_nothing_waits),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
