/* Values by type: what is taken, what is refused, what the refusal says. */
#include "config_case.h"

#include "config_number.h"
#include "config_value.h"

static void whole_numbers_have_a_range_and_units(void **state)
{
    static const struct {
        const char *text;
        int64_t interval_ms;
    } GOOD[] = {{"0", 0},          {"1", 1},       {"604800000", 604800000}, {"10s", 10000},
                {"10 s", 10000},   {"5m", 300000}, {"5MIN", 300000},         {"1h", 3600000},
                {"7d", 604800000}, {"3ms", 3}};
    static const char *const BAD[] = {"",
                                      "-1",
                                      "604800001",
                                      "8d",
                                      "1.5",
                                      "1e3",
                                      "0x10",
                                      "+5",
                                      "5 0",
                                      "five",
                                      "10k",
                                      "10ss",
                                      "ms",
                                      "-",
                                      "--1",
                                      "9223372036854775808",
                                      "99999999999999999d"};

    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        char *line = mem_print("batch.interval.ms = %s\n", GOOD[i].text);
        struct config *config = config_case_good(line);

        assert_int_equal(config->batch_interval_ms, GOOD[i].interval_ms);
        config_free(config);
        free(line);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *line = mem_print("batch.interval.ms = %s\n", BAD[i]);

        config_case_bad(line, "f.conf:4: batch.interval.ms = ", "0 to 604800000", NULL);
        free(line);
    }
}

static void sizes_have_units_of_1024(void **state)
{
    struct config *config = config_case_good("memory.max.bytes = 64MiB\n");

    (void)state;
    assert_int_equal(config->memory_max_bytes, 64 * 1024 * 1024);
    config_free(config);
    config = config_case_good("memory.max.bytes = 1g\n");
    assert_int_equal(config->memory_max_bytes, 1024 * 1024 * 1024);
    config_free(config);
    config_case_bad("memory.max.bytes = 1m\n", "4194304", NULL);
    config_case_bad("memory.max.bytes = 10s\n", "bytes", NULL);
    config_case_bad("memory.max.bytes = 9000000000g\n", "bytes", NULL);
}

static void counts_have_no_units(void **state)
{
    struct config *config = config_case_good("batch.max.records = 9223372036854775807\n");

    (void)state;
    assert_true(config->batch_max_records == INT64_MAX);
    config_free(config);
    config_case_bad("batch.max.records = 10k\n", "whole number", "records", NULL);
    config_case_bad("fetch.max.records = 0\n", "1 to", NULL);
}

static void check_reals(const struct config_row *row, const char *const *good,
                        const char *const *bad, const char *words)
{
    struct config_number number;
    struct err err = {0};

    for (size_t i = 0; good[i] != NULL; i++) {
        double place = -1;

        if (!config_number_read(row, NULL, good[i], &number, &err)) {
            fail_msg("%s was refused: %s", good[i], err.text);
        }
        config_number_store(row, number, &place);
        assert_memory_equal(&place, &number.real, sizeof(place));
        number = config_number_load(row, &place);
        assert_memory_equal(&place, &number.real, sizeof(place));
    }
    for (size_t i = 0; bad[i] != NULL; i++) {
        if (config_number_read(row, NULL, bad[i], &number, &err)) {
            fail_msg("%s was taken", bad[i]);
        }
        assert_string_equal(err.text, words);
    }
}

static void reals_are_finite_and_in_their_range(void **state)
{
    const struct config_row from = {.type = CONFIG_TYPE_REAL, .size = sizeof(double)};
    const struct config_row above = {
        .type = CONFIG_TYPE_REAL, .size = sizeof(double), .real_above_min = true, .real_max = 1};

    (void)state;
    check_reals(&from, (const char *const[]){"0", "0.2", ".5", "1e300", "3.", "1E-3", NULL},
                (const char *const[]){"", "-1", "-0.1", "nan", "inf", "infinity", "1e999", "0x10",
                                      "1,5", "1.5 ", "five", "+1", "1s", ".", "e5", NULL},
                "must be a number from 0 on");
    check_reals(&above, (const char *const[]){"1", "0.0001", "1e-300", NULL},
                (const char *const[]){"0", "0.0", "1.0001", "nan", "1e-999", NULL},
                "must be a number above 0 and up to 1");
}

static void reals_are_shown_in_the_fewest_digits(void **state)
{
    static const struct {
        double real;
        const char *text;
    } CASES[] = {{1, "1"},
                 {0.2, "0.2"},
                 {100, "100"},
                 {1234567, "1234567"},
                 {1.0 / 3, "0.3333333333333333"}};

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char *text = config_number_real_text(CASES[i].real);

        assert_string_equal(text, CASES[i].text);
        free(text);
    }
}

static void speculation_is_set_by_sparks_names_too(void **state)
{
    struct config *config = config_case_good("spark.speculation = true\n"
                                             "spark.speculation.quantile = 0.9\n"
                                             "spark.speculation.multiplier = 3\n"
                                             "spark.speculation.interval = 1s\n"
                                             "spark.speculation.minTaskRuntime = 0\n");

    (void)state;
    assert_true(config->speculation.enabled);
    assert_true(config->speculation.quantile > 0.89 && config->speculation.quantile < 0.91);
    assert_true(config->speculation.multiplier > 2.9 && config->speculation.multiplier < 3.1);
    assert_int_equal(config->speculation.interval_ms, 1000);
    assert_int_equal(config->speculation.min_runtime_ms, 0);
    config_free(config);
    config_case_bad("speculation.quantile = 1.1\n", "from 0 to 1", NULL);
    config_case_bad("speculation.multiplier = 0\n", "above 0", NULL);
    config_case_bad("speculation.interval.ms = 0\n", "speculation.interval.ms", NULL);
}

static void switches_are_true_or_false(void **state)
{
    struct config *config = config_case_good("shutdown.graceful = FALSE\n");

    (void)state;
    assert_false(config->shutdown_graceful);
    config_free(config);
    config_case_bad("shutdown.graceful = yes\n", "= yes", "true or false", NULL);
    config_case_bad("shutdown.graceful =\n", "true or false", NULL);
}

static void words_are_listed_when_one_is_wrong(void **state)
{
    struct config *config =
        config_case_good("output.partitioner = key\nisolation.level = read_uncommitted\n"
                         "on.data.loss = continue\non.bad.record = set-aside\nlog.level = error\n"
                         "rate.first.batch = capped\n");

    (void)state;
    assert_int_equal(config->partitioner, PARTITIONER_KEY);
    assert_int_equal(config->isolation, ISOLATION_READ_UNCOMMITTED);
    assert_int_equal(config->on_data_loss, ON_DATA_LOSS_CONTINUE);
    assert_int_equal(config->on_bad_record, ON_BAD_RECORD_SET_ASIDE);
    assert_int_equal(config->log_level, 3);
    assert_true(config->first_batch_capped);
    config_free(config);
    config_case_bad("output.partitioner = random\n", "= random", "one of same, key", NULL);
    config_case_bad("isolation.level = Read_Committed\n", "read_committed, read_uncommitted", NULL);
}

static void a_job_s_name_is_safe_in_a_path(void **state)
{
    static const char *const BAD[] = {"a/b", "../x", ".x",       "-x", "a b",
                                      "a*b", "a:b",  "\xc3\xa4", ""};
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct config *config = config_new();

        assert_false(config_set(config, "job.name", BAD[i], "--set", &err));
        assert_non_null(strstr(err.text, "--set: job.name"));
        config_free(config);
    }
}

static void topics_are_names_that_kafka_takes(void **state)
{
    static const char *const BAD[] = {"a,,b", ",a",    "a,", "a b", "a/b",     ".",
                                      "..",   "a,b,a", "",   ",",   "\xc3\xa4"};
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    assert_true(config_set(config, "input.topics", " a.b-c_D9 ,\tx ", "--set", &err));
    assert_int_equal(config->input_topics.count, 2);
    assert_string_equal(config->input_topics.items[0], "a.b-c_D9");
    assert_string_equal(config->input_topics.items[1], "x");
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_false(config_set(config, "input.topics", BAD[i], "--set", &err));
        assert_int_equal(err.kind, ERR_SETTINGS);
    }
    assert_int_equal(config->input_topics.count, 2); /* what was there stays */
    config_free(config);
}

static void a_topic_s_name_may_have_249_bytes(void **state)
{
    char *longest = mem_zero(TOPIC_NAME_MAX + 2);
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    memset(longest, 'x', TOPIC_NAME_MAX);
    assert_true(config_set(config, "input.topics", longest, "--set", &err));
    longest[TOPIC_NAME_MAX] = 'x';
    assert_false(config_set(config, "input.topics", longest, "--set", &err));
    free(longest);
    config_free(config);
}

static void a_topic_s_pattern_is_a_name_once_filled_in(void **state)
{
    static const char *const BAD[] = {"{Topic}", "{topic", "topic}", "{}", "a b", "{topic}/x", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *line = mem_print("output.topic = %s\n", BAD[i]);

        config_case_bad(line, "f.conf:4: output.topic", NULL);
        free(line);
    }
}

static void every_topic_in_a_pattern_is_filled_in_once(void **state)
{
    char *name = config_topic_name("{topic}-{topic}", "a{topic}");

    (void)state;
    assert_string_equal(name, "a{topic}-a{topic}");
    free(name);
    name = config_topic_name("plain", "a");
    assert_string_equal(name, "plain");
    free(name);
}

static void caps_are_a_number_or_a_list(void **state)
{
    static const char *const BAD[] = {"",
                                      "x",
                                      "1.5",
                                      "10s",
                                      "a:0",
                                      "a=5",
                                      "a:=5",
                                      ":0=5",
                                      "a:0=",
                                      "a:-1=5",
                                      "a:0=5,",
                                      "5,6",
                                      "*=1,*=2",
                                      "a:0=1,a:0=2",
                                      "a:0=1,7",
                                      "*",
                                      "a:b=c",
                                      "a:0=5 5",
                                      "a b:0=1",
                                      "=5",
                                      "a:0:1=5",
                                      "a:2147483648=1",
                                      "a:0=99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *line = mem_print("rate.max.per.partition = %s\n", BAD[i]);

        config_case_bad(line, "f.conf:4: rate.max.per.partition", NULL);
        free(line);
    }
}

static void starts_are_read(void **state)
{
    (void)state;
    config_case_bad("auto.offset.reset = none\n", "earliest, latest", NULL);
    config_case_bad("auto.offset.reset = by_duration:1D\n", "by_duration:P1D", NULL);
    config_case_bad("auto.offset.reset = 2026-02-30T00:00:00Z\n", "2026-01-31T12:00:00Z", NULL);
}

static void texts_stay_on_one_line(void **state)
{
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    assert_false(config_set(config, "ledger.path", "a\nb", "--set", &err));
    assert_null(strchr(err.text, '\n'));
    assert_false(config_set(config, "group.id", "", "--set", &err));
    config_free(config);
    config_case_bad("ledger.path = :memory:\n", "f.conf:4", "ledger.path", NULL);
    config_case_bad("ledger.path = file:x\n", "f.conf:4", "ledger.path", NULL);
    config_case_bad("ledger.path = /tmp/\n", "f.conf:4", "ledger.path", NULL);
}

static void a_value_in_a_message_is_short_and_printable(void **state)
{
    char shown[CONFIG_SHOWN_SIZE];
    char text[300];

    (void)state;
    assert_string_equal(config_value_shown("a\x1b[31m\tb", shown), "a?[31m?b");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    config_value_shown(text, shown);
    assert_true(strlen(shown) < CONFIG_SHOWN_SIZE);
    assert_non_null(strstr(shown, "..."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_have_a_range_and_units),
        cmocka_unit_test(sizes_have_units_of_1024),
        cmocka_unit_test(counts_have_no_units),
        cmocka_unit_test(reals_are_finite_and_in_their_range),
        cmocka_unit_test(reals_are_shown_in_the_fewest_digits),
        cmocka_unit_test(speculation_is_set_by_sparks_names_too),
        cmocka_unit_test(switches_are_true_or_false),
        cmocka_unit_test(words_are_listed_when_one_is_wrong),
        cmocka_unit_test(a_job_s_name_is_safe_in_a_path),
        cmocka_unit_test(topics_are_names_that_kafka_takes),
        cmocka_unit_test(a_topic_s_name_may_have_249_bytes),
        cmocka_unit_test(a_topic_s_pattern_is_a_name_once_filled_in),
        cmocka_unit_test(every_topic_in_a_pattern_is_filled_in_once),
        cmocka_unit_test(caps_are_a_number_or_a_list),
        cmocka_unit_test(starts_are_read),
        cmocka_unit_test(texts_stay_on_one_line),
        cmocka_unit_test(a_value_in_a_message_is_short_and_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
