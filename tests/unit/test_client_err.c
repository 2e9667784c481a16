/* What error codes of librdkafka and Kafka mean for us. */
#include "kafka_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void what_passes_by_itself_is_tried_again(void **state)
{
    static const rd_kafka_resp_err_t CODES[] = {
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
        RD_KAFKA_RESP_ERR__TIMED_OUT,
        RD_KAFKA_RESP_ERR__AUTHENTICATION, /* of a running service: its password may come back */
        RD_KAFKA_RESP_ERR__SSL,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        assert_int_equal(client_err_kind(CODES[i]), ERR_TEMPORARY);
    }
}

static void what_a_person_must_change_ends_it(void **state)
{
    (void)state;
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), ERR_DECISION);
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID), ERR_DECISION);
}

static void what_lies_in_the_record_is_told_apart(void **state)
{
    (void)state;
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), ERR_CONTENT);
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP), ERR_CONTENT);
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_INVALID_RECORD), ERR_CONTENT);
}

static void what_nobody_foresaw_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(client_err_kind(RD_KAFKA_RESP_ERR_INVALID_REQUEST), ERR_FAILED);
    assert_int_equal(client_err_kind((rd_kafka_resp_err_t)12345), ERR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_by_itself_is_tried_again),
        cmocka_unit_test(what_a_person_must_change_ends_it),
        cmocka_unit_test(what_lies_in_the_record_is_told_apart),
        cmocka_unit_test(what_nobody_foresaw_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
