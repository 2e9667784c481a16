/* Settings that go to librdkafka: names, clients, what the protocol fixes, secrets. */
#include "config_case.h"

#include <fcntl.h>
#include <stdio.h>

static const struct config_kafka *find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (strcmp(config->kafka[i].name, name) == 0) {
            return &config->kafka[i];
        }
    }
    return NULL;
}

static void names_go_to_the_client_that_has_them(void **state)
{
    struct config *config =
        config_case_good("consumer.client.id = c\nfetch.min.bytes = 2\nclient.id = both\n"
                         "producer.client.id = p\nkafka.security.protocol = plaintext\n"
                         "compression.type = lz4\nclient.rack = r1\n");

    (void)state;
    assert_int_equal(find(config, "bootstrap.servers")->client, CONFIG_BOTH);
    assert_int_equal(find(config, "fetch.min.bytes")->client, CONFIG_CONSUMER);
    assert_int_equal(find(config, "compression.type")->client, CONFIG_PRODUCER);
    assert_int_equal(find(config, "security.protocol")->client, CONFIG_BOTH);
    assert_int_equal(find(config, "client.rack")->client, CONFIG_CONSUMER);
    /* those of both come first, so that applying in order lets the special one win */
    assert_string_equal(find(config, "client.id")->value, "both");
    assert_int_equal(config->kafka[2].client, CONFIG_BOTH);
    assert_int_not_equal(config->kafka[3].client, CONFIG_BOTH);
    config_free(config);
}

static void a_setting_of_the_other_client_is_refused(void **state)
{
    (void)state;
    config_case_bad("producer.fetch.min.bytes = 2\n", "f.conf:4", "producer.fetch.min.bytes",
                    "consumers", NULL);
    config_case_bad("consumer.linger.ms = 2\n", "consumer.linger.ms", "producers", NULL);
    config_case_bad("producer.client.rack = x\n", "producer.client.rack", NULL);
}

static void our_names_take_no_client(void **state)
{
    (void)state;
    config_case_bad("consumer.session.timeout.ms = 1\n", "write it without consumer.", NULL);
    config_case_bad("producer.request.timeout.ms = 1\n", "write it without producer.", NULL);
    config_case_bad("consumer.group.id = x\n", "consumer.group.id", "group.id", NULL);
    config_case_bad("consumer.isolation.level = read_committed\n", "isolation.level", NULL);
}

static void unknown_names_get_the_nearest_one(void **state)
{
    (void)state;
    config_case_bad("batch.intervall.ms = 1\n", "f.conf:4", "'batch.intervall.ms'",
                    "'batch.interval.ms'", NULL);
    config_case_bad("shutdown.gracefull = true\n", "'shutdown.graceful'", NULL);
    config_case_bad("spark.streaming.stopGracefulyOnShutdown = true\n",
                    "'spark.streaming.stopGracefullyOnShutdown'", NULL);
    config_case_bad("sasl.pasword = geheim\n", "'sasl.password'", NULL);
    config_case_bad("consumer.fetch.min.byte = 1\n", "'consumer.fetch.min.bytes'", NULL);
    config_case_bad("wholly.different.thing = 1\n", "'wholly.different.thing'", "--help", NULL);
}

static void an_unknown_name_s_value_is_not_shown(void **state)
{
    struct config *config = NULL;
    char *error = config_case_try("sasl.pasword = geheim\n", &config);

    (void)state;
    assert_non_null(error);
    assert_null(strstr(error, "geheim"));
    free(error);
}

static void values_are_judged_by_the_library(void **state)
{
    (void)state;
    config_case_bad("security.protocol = tls\n", "f.conf:4", "security.protocol", "tls", NULL);
    config_case_bad("fetch.min.bytes = 0\n", "f.conf:4", "fetch.min.bytes", NULL);
    config_case_bad("producer.compression.type = rar\n", "compression", NULL);
    config_case_bad("dr_msg_cb = 1\n", "f.conf:4", "dr_msg_cb", NULL);
}

static void what_the_protocol_fixes_is_refused_with_the_reason(void **state)
{
    static const char *const BAD[] = {
        "acks = 1",
        "producer.acks = 0",
        "kafka.request.required.acks = 2",
        "enable.idempotence = false",
        "enable.gapless.guarantee = false",
        "max.in.flight = 5",
        "producer.max.in.flight.requests.per.connection = 2",
        "retries = 3",
        "message.send.max.retries = 0",
        "message.timeout.ms = 300000",
        "delivery.timeout.ms = 120000",
        "delivery.report.only.error = true",
        "queuing.strategy = lifo",
        "partitioner = random",
        "queue.buffering.max.kbytes = 1000",
        "queue.buffering.max.messages = 1000",
        "consumer.queued.max.messages.kbytes = 1000",
        "enable.auto.commit = true",
        "auto.commit.enable = true",
        "auto.commit.interval.ms = 5000",
        "enable.auto.offset.store = true",
        "offset.store.method = file",
        "enable.partition.eof = false",
        "allow.auto.create.topics = true",
        "topic.blacklist = x",
        "group.instance.id = x",
        "group.protocol = consumer",
        "partition.assignment.strategy = range",
        "api.version.request = false",
        "log.queue = true",
        "enabled_events = 1",
        "test.mock.num.brokers = 3",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *line = mem_print("%s\n", BAD[i]);
        char *name = mem_print("%.*s", (int)strcspn(BAD[i], " "), BAD[i]);

        config_case_bad(line, "f.conf:4", name, ": ", NULL);
        free(name);
        free(line);
    }
    config_case_bad("acks = 1\n", "in-sync", NULL);
    config_case_bad("partitioner = murmur2\n", "output.partitioner", NULL);
    config_case_bad("queue.buffering.max.kbytes = 1\n", "memory.max.bytes", NULL);
}

static void what_the_protocol_fixes_may_be_said_as_it_is(void **state)
{
    struct config *config =
        config_case_good("acks = all\nenable.idempotence = true\nretries = 2147483647\n"
                         "max.in.flight.requests.per.connection = 1\n"
                         "delivery.timeout.ms = 0\nenable.auto.commit = False\n");

    (void)state;
    assert_int_equal(config->kafka_count, 2);
    assert_string_equal(find(config, "max.in.flight.requests.per.connection")->value, "1");
    config_free(config);
}

static void in_transactions_up_to_five_requests_may_be_in_flight(void **state)
{
    struct config *config = config_case_good("delivery.mode = transactional\nmax.in.flight = 5\n");

    (void)state;
    assert_int_equal(find(config, "max.in.flight")->client, CONFIG_PRODUCER);
    config_free(config);
    config = config_case_good("producer.max.in.flight.requests.per.connection = 2\n"
                              "delivery.mode = transactional\n");
    config_free(config);
    config_case_bad("delivery.mode = transactional\nmax.in.flight = 6\n", "f.conf:5", "1 to 5",
                    NULL);
    config_case_bad("max.in.flight = 2\ndelivery.mode = idempotent\n", "f.conf:4", "idempotent",
                    NULL);
    config_case_bad("consumer.max.in.flight = 2\ndelivery.mode = transactional\n", "f.conf:4",
                    "producer", NULL);
}

/* In what is printed and in every message. */
static void secrets_are_shown_nowhere(void **state)
{
    static const char *const NAMES[] = {
        "sasl.password",         "ssl.key.password",       "ssl.key.pem",
        "ssl.keystore.password", "consumer.sasl.password", "kafka.sasl.password"};

    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        char *line = mem_print("%s = geheim\n", NAMES[i]);
        char *twice = mem_print("%s%s", line, line);
        struct config *config = config_case_good(line);
        char *text = config_case_printed(config);
        char *error;

        assert_non_null(strstr(text, "[hidden]"));
        assert_null(strstr(text, "geheim"));
        config_free(config);
        error = config_case_try(twice, &config);
        assert_non_null(error);
        assert_null(strstr(error, "geheim"));
        free(error);
        free(text);
        free(twice);
        free(line);
    }
}

/* The reason is the library's, asked with another value. */
static void a_refused_secret_is_hidden_and_the_reason_shown(void **state)
{
    struct config *config = NULL;
    char *error = config_case_try("sasl.oauthbearer.client.secret = geheim\n", &config);

    (void)state;
    if (error == NULL) { /* a library with OIDC */
        config_free(config);
        return;
    }
    assert_non_null(strstr(error, "sasl.oauthbearer.client.secret"));
    assert_non_null(strstr(error, "not supported"));
    assert_null(strstr(error, "geheim"));
    free(error);
}

static char *write_file(const char *content, size_t size)
{
    char *path = mem_print("/proc/self/fd/%d", memfd_create("secret", 0));
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, size, file), size);
    fclose(file);
    return path;
}

static void values_come_from_files_and_are_hidden(void **state)
{
    char *path = write_file("geheim\r\n\n", 9);
    char *line = mem_print("sasl.username = x-${file:%s}\nlog.level = ${file:%s}\n", path, path);
    struct config *config = config_new();
    struct err err = {0};
    char *text;

    (void)state;
    config_case_bad(line, "f.conf:5", "log.level = [hidden]", "error, warning", NULL);
    free(line);
    line = mem_print("sasl.username = x-${file:%s}\n", path);
    assert_true(config_read_text(config, "f", line, strlen(line), &err));
    assert_string_equal(find(config, "sasl.username")->value, "x-geheim");
    text = config_case_printed(config);
    assert_null(strstr(text, "geheim"));
    free(text);
    free(line);
    line = mem_print("security.protocol = ${file:%s}", path);
    assert_false(config_read_text(config, "f", line, strlen(line), &err));
    assert_null(strstr(err.text, "geheim"));
    config_free(config);
    free(line);
    free(path);
}

static void values_come_from_the_environment(void **state)
{
    char *path = write_file("geheim\n", 7);
    struct config *config;

    (void)state;
    setenv("ONCESINK_TEST_A", "${env:ONCESINK_TEST_B}", 1);
    setenv("ONCESINK_TEST_FILE", path, 1);
    unsetenv("ONCESINK_TEST_B");
    config = config_case_good("client.id = <${env:ONCESINK_TEST_A}-${env:ONCESINK_TEST_A}>\n"
                              "sasl.username = ${file:${env:ONCESINK_TEST_FILE}}\n");
    /* what a variable holds isn't looked at again */
    assert_string_equal(find(config, "client.id")->value,
                        "<${env:ONCESINK_TEST_B}-${env:ONCESINK_TEST_B}>");
    assert_string_equal(find(config, "sasl.username")->value, "geheim");
    config_free(config);
    config_case_bad("client.id = ${env:ONCESINK_TEST_B}\n", "f.conf:4", "client.id",
                    "ONCESINK_TEST_B", NULL);
    free(path);
}

static void references_that_cannot_be_filled_in_are_refused(void **state)
{
    char *path = write_file("a\0b", 3);
    char *line = mem_print("client.id = ${file:%s}\n", path);

    (void)state;
    config_case_bad(line, "f.conf:4", "zero byte", NULL);
    config_case_bad("client.id = ${file:/nowhere/at/all}\n", "f.conf:4", "/nowhere/at/all", NULL);
    config_case_bad("client.id = ${file:/}\n", "f.conf:4", "directory", NULL);
    config_case_bad("client.id = ${file:/dev/zero}\n", "f.conf:4", "too large", NULL);
    config_case_bad("client.id = ${HOME}\n", "f.conf:4", "${env:NAME}", NULL);
    config_case_bad("client.id = ${env:HOME\n", "f.conf:4", "'}'", NULL);
    config_case_bad("client.id = ${file:${file:/x}}\n", "f.conf:4", "inside another", NULL);
    free(line);
    free(path);
}

static void hidden_values_stay_hidden_where_a_default_is_made_of_them(void **state)
{
    char *path = write_file("geheim", 6);
    char *value = mem_print("${file:%s}", path);
    struct config *config = config_new();
    struct err err = {0};
    char *text;

    (void)state;
    assert_true(config_set(config, "job.name", value, "--set", &err));
    assert_true(config_set(config, "input.topics", "a", "--set", &err));
    assert_true(config_set(config, "bootstrap.servers", "h:1", "--set", &err));
    assert_true(config_finish(config, 0, &err));
    assert_string_equal(config->group_id, "geheim");
    text = config_case_printed(config);
    assert_null(strstr(text, "geheim"));
    free(text);
    config_free(config);
    free(value);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_to_the_client_that_has_them),
        cmocka_unit_test(a_setting_of_the_other_client_is_refused),
        cmocka_unit_test(our_names_take_no_client),
        cmocka_unit_test(unknown_names_get_the_nearest_one),
        cmocka_unit_test(an_unknown_name_s_value_is_not_shown),
        cmocka_unit_test(values_are_judged_by_the_library),
        cmocka_unit_test(what_the_protocol_fixes_is_refused_with_the_reason),
        cmocka_unit_test(in_transactions_up_to_five_requests_may_be_in_flight),
        cmocka_unit_test(what_the_protocol_fixes_may_be_said_as_it_is),
        cmocka_unit_test(secrets_are_shown_nowhere),
        cmocka_unit_test(a_refused_secret_is_hidden_and_the_reason_shown),
        cmocka_unit_test(values_come_from_files_and_are_hidden),
        cmocka_unit_test(values_come_from_the_environment),
        cmocka_unit_test(references_that_cannot_be_filled_in_are_refused),
        cmocka_unit_test(hidden_values_stay_hidden_where_a_default_is_made_of_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
