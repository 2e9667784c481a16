/* Client handles: what they are set to, by whom, and that they end. */
#include "support_mock.h"

#include "mem.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#ifdef ONCESINK_RDKAFKA_ONE_REQUEST
#define IN_FLIGHT "5"
#else
#define IN_FLIGHT "1"
#endif

static struct config_kafka settings[4];

static struct config config_with(const struct mock *mock, const struct config_kafka *more,
                                 size_t count)
{
    struct config config = mock->config;

    assert_true(count < 4);
    settings[0] = mock->kafka[0];
    for (size_t i = 0; i < count; i++) {
        settings[1 + i] = more[i];
    }
    config.kafka = settings;
    config.kafka_count = 1 + count;
    return config;
}

static void assert_set(rd_kafka_t *client, const char *name, const char *expected)
{
    char value[512];
    size_t size = sizeof(value);

    assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(client), name, value, &size),
                     RD_KAFKA_CONF_OK);
    assert_string_equal(value, expected);
}

static rd_kafka_t *make(const struct config *config, enum client_purpose purpose)
{
    struct client_options options = {.purpose = purpose, .batch_bytes_max = 500000};
    rd_kafka_t *client = NULL;
    struct err err = {.kind = ERR_NONE};

    if (!client_new(config, &options, &client, &err)) {
        fail_msg("%s", err.text);
    }
    return client;
}

static void the_protocol_has_the_last_word(void **state)
{
    /* config.c refuses these; should one slip through, it must not count. */
    static const struct config_kafka BREAKING[] = {
        {.client = CONFIG_PRODUCER, .name = "enable.gapless.guarantee", .value = "false"},
        {.client = CONFIG_CONSUMER, .name = "enable.auto.commit", .value = "true"},
        {.client = CONFIG_CONSUMER, .name = "client.rack", .value = "near"},
    };
    struct config config = config_with(*state, BREAKING, 3);
    rd_kafka_t *sink = make(&config, CLIENT_SINK);
    rd_kafka_t *output = make(&config, CLIENT_OUTPUT);
    rd_kafka_t *input = make(&config, CLIENT_INPUT);

    assert_set(sink, "enable.idempotence", "true");
    assert_set(sink, "enable.gapless.guarantee", "true");
    assert_set(sink, "max.in.flight.requests.per.connection", IN_FLIGHT);
    assert_set(sink, "batch.size", "500000");
    assert_set(output, "isolation.level", "read_uncommitted");
    assert_set(output, "client.rack", "");
    assert_set(output, "group.id", "test-readback");
    assert_set(input, "isolation.level", "read_committed");
    assert_set(input, "enable.auto.commit", "false");
    assert_set(input, "enable.partition.eof", "true");
    assert_set(input, "group.id", "test");
    assert_set(input, "client.rack", "near"); /* inputs may be read from a follower */
    client_free(sink, "test");
    client_free(output, "test");
    client_free(input, "test");
    config.transactional_id = (char *)(uintptr_t) "test";
    sink = make(&config, CLIENT_TRANSACTIONS);
    assert_set(sink, "max.in.flight.requests.per.connection", "1");
    assert_set(sink, "enable.idempotence", "true");
    client_free(sink, "test");
}

/* R1: more than one only with a library that gives each partition one. */
static void requests_in_flight_are_the_users_as_far_as_that_is_safe(void **state)
{
    static const struct config_kafka ONE[] = {
        {.client = CONFIG_PRODUCER, .name = "max.in.flight", .value = "1"}};
    static const struct config_kafka MANY[] = {
        {.client = CONFIG_PRODUCER, .name = "max.in.flight", .value = "4"}};
    struct config config = config_with(*state, ONE, 1);
    rd_kafka_t *sink = make(&config, CLIENT_SINK);

    assert_set(sink, "max.in.flight.requests.per.connection", "1");
    client_free(sink, "test");
    config = config_with(*state, MANY, 1);
    config.transactional_id = (char *)(uintptr_t) "test";
    sink = make(&config, CLIENT_TRANSACTIONS);
    assert_set(sink, "max.in.flight.requests.per.connection", "4");
    client_free(sink, "test");
}

static void what_the_user_sets_goes_where_it_says(void **state)
{
    static const struct config_kafka WISHES[] = {
        {.client = CONFIG_PRODUCER, .name = "compression.type", .value = "zstd"},
        {.client = CONFIG_CONSUMER, .name = "fetch.wait.max.ms", .value = "17"},
        {.client = CONFIG_BOTH, .name = "client.id", .value = "mine"},
    };
    struct config config = config_with(*state, WISHES, 3);
    rd_kafka_t *sink = make(&config, CLIENT_SINK);
    rd_kafka_t *input = make(&config, CLIENT_INPUT);
    rd_kafka_t *ask = make(&config, CLIENT_ASK);

    assert_set(sink, "compression.codec", "zstd");
    assert_set(sink, "client.id", "mine");
    assert_set(input, "fetch.wait.max.ms", "17");
    assert_set(input, "client.id", "mine");
    assert_set(ask, "client.id", "mine");
    client_free(sink, "test");
    client_free(input, "test");
    client_free(ask, "test");
}

static void sizes_follow_the_memory_and_the_partitions(void **state)
{
    static const uint32_t PARTITIONS[] = {0, 1, 3, 100, 100000};
    static const int64_t MEMORY[] = {1 << 20, 32 << 20, INT64_C(8) << 30};
    struct config config = config_with(*state, NULL, 0);

    for (size_t i = 0; i < sizeof(MEMORY) / sizeof(MEMORY[0]); i++) {
        for (size_t j = 0; j < sizeof(PARTITIONS) / sizeof(PARTITIONS[0]); j++) {
            struct client_options options = {.purpose = CLIENT_INPUT, .partitions = PARTITIONS[j]};
            rd_kafka_t *client = NULL;
            struct err err = {.kind = ERR_NONE};

            config.memory_max_bytes = MEMORY[i];
            assert_true(client_new(&config, &options, &client, &err));
            client_free(client, "test");
            options.purpose = CLIENT_SINK;
            assert_true(client_new(&config, &options, &client, &err));
            client_free(client, "test");
        }
    }
}

static void what_librdkafka_refuses_is_named(void **state)
{
    static const struct config_kafka WRONG[] = {
        {.client = CONFIG_BOTH, .name = "security.protocol", .value = "carrier-pigeon"},
    };
    struct config config = config_with(*state, WRONG, 1);
    struct client_options options = {.purpose = CLIENT_ASK};
    rd_kafka_t *client = NULL;
    struct err err = {.kind = ERR_NONE};

    assert_false(client_new(&config, &options, &client, &err));
    assert_int_equal(err.kind, ERR_SETTINGS);
    assert_non_null(strstr(err.text, "security.protocol"));
    assert_null(client);
}

static void a_handle_is_made_and_ended_at_once_with_no_broker_there(void **state)
{
    struct mock *mock = *state;
    struct config config = config_with(mock, NULL, 0);
    int64_t begun_ms;

    mock_away(mock, 1);
    begun_ms = wait_now_ms();
    for (enum client_purpose purpose = CLIENT_INPUT; purpose <= CLIENT_SINK; purpose++) {
        client_free(make(&config, purpose), "test");
    }
    assert_true(wait_now_ms() - begun_ms < 3000);
    client_free(NULL, "test");
    mock_back(mock, 1);
}

static void a_broker_that_is_away_is_told_until_one_answers(void **state)
{
    struct mock *mock = *state;
    struct config config = config_with(mock, NULL, 0);
    rd_kafka_t *ask;
    char text[256] = "";
    struct err err;
    int64_t begun_ms = wait_now_ms();

    client_served();
    client_last_trouble(text, sizeof(text));
    assert_string_equal(text, "");
    mock_away(mock, 1);
    ask = make(&config, CLIENT_ASK);
    while (text[0] == '\0') {
        rd_kafka_poll(ask, 100);
        client_last_trouble(text, sizeof(text));
        assert_true(wait_now_ms() - begun_ms < 10000);
    }
    assert_true(client_check_login(&err)); /* it isn't the log-in */
    client_free(ask, "test");
    client_served();
    client_last_trouble(text, sizeof(text));
    assert_string_equal(text, "");
    assert_non_null(strstr(client_versions(), "2."));
    mock_back(mock, 1);
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
        cmocka_unit_test(the_protocol_has_the_last_word),
        cmocka_unit_test(requests_in_flight_are_the_users_as_far_as_that_is_safe),
        cmocka_unit_test(what_the_user_sets_goes_where_it_says),
        cmocka_unit_test(sizes_follow_the_memory_and_the_partitions),
        cmocka_unit_test(what_librdkafka_refuses_is_named),
        cmocka_unit_test(a_handle_is_made_and_ended_at_once_with_no_broker_there),
        cmocka_unit_test(a_broker_that_is_away_is_told_until_one_answers),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
