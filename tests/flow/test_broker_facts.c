/* What brokers say of their own settings: here, brokers that don't. The mock cluster knows no
 * DescribeConfigs; what a real Kafka answers is looked at in tests/broker/test_idle_marks.py. */
#include "support_mock.h"

#include "broker_facts.h"
#include "source_ends.h"

#include <unistd.h>

enum { HOUR_MS = 3600000 };

static void step_for(struct broker_facts *facts, int64_t time_ms)
{
    for (int64_t passed = 0; passed < time_ms; passed += 20) {
        broker_facts_step(facts);
        usleep(20000);
    }
}

static void nothing_is_known_before_an_answer(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct broker_facts *facts = broker_facts_new(ask, DELIVERY_IDEMPOTENT);

    assert_int_equal(broker_facts_mark_age_ms(facts), HOUR_MS);
    broker_facts_free(facts);
    broker_facts_free(NULL);
    client_free(ask, "test");
}

static void a_cluster_that_does_not_answer_is_no_obstacle(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct patience patience = mock_patience(20000);
    struct ends_item item = {.topic = "any", .partition = 0};
    struct err err = {.kind = ERR_NONE};
    struct broker_facts *facts = broker_facts_new(ask, DELIVERY_TRANSACTIONAL);

    mock_topic(mock, "any", 1);
    assert_true(ends_get(ask, ENDS_LAST, &item, 1, &patience, &err)); /* brokers are known */
    step_for(facts, 2000);
    assert_int_equal(broker_facts_mark_age_ms(facts), HOUR_MS);
    broker_facts_free(facts); /* a question may still be under way */
    client_free(ask, "test");
}

static void brokers_that_are_away_are_no_obstacle(void **state)
{
    struct mock *mock = *state;
    rd_kafka_t *ask = mock_client(mock, CLIENT_ASK);
    struct broker_facts *facts = broker_facts_new(ask, DELIVERY_TRANSACTIONAL);

    mock_away(mock, 2);
    step_for(facts, 1500);
    assert_int_equal(broker_facts_mark_age_ms(facts), HOUR_MS);
    mock_back(mock, 2);
    broker_facts_free(facts);
    client_free(ask, "test");
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
        cmocka_unit_test_setup_teardown(nothing_is_known_before_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cluster_that_does_not_answer_is_no_obstacle, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(brokers_that_are_away_are_no_obstacle, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
