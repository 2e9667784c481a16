/* Settings as a whole: where they come from, which wins, what depends on several, what is
 * printed. */
#include "config_case.h"

#include "config_table.h"

static void a_fetch_that_times_out_while_all_is_well_is_refused(void **state)
{
    struct config *config;

    (void)state;
    config_case_bad("fetch.timeout.ms = 100\n", "f.conf:4", "fetch.timeout.ms = 100",
                    "fetch.wait.max.ms = 100 (default)", NULL);
    config_case_bad("fetch.timeout.ms = 500\nconsumer.fetch.wait.max.ms = 500\n",
                    "fetch.wait.max.ms = 500 (f.conf:5)", NULL);
    config_free(config_case_good("fetch.timeout.ms = 101\n"));
    config = config_case_good("fetch.timeout.ms = 6\nfetch.wait.max.ms = 5\n"
                              "task.max.failures = 1\n");
    assert_int_equal(config->fetch_timeout_ms, 6);
    assert_int_equal(config->task_max_failures, 1);
    config_free(config);
    config_case_bad("task.max.failures = 0\n", "task.max.failures", NULL);
}

static void defaults_are_the_design_s(void **state)
{
    struct config *config = config_case_good("");

    (void)state;
    assert_string_equal(config->job_name, "j");
    assert_string_equal(config->group_id, "j");
    assert_string_equal(config->ledger_path, "j.db");
    assert_int_equal(config->start, CONFIG_START_EARLIEST);
    assert_int_equal(config->isolation, ISOLATION_READ_COMMITTED);
    assert_string_equal(config->output_topic, "{topic}_out");
    assert_string_equal(config->error_topic, "{topic}_error");
    assert_int_equal(config->partitioner, PARTITIONER_SAME);
    assert_int_equal(config->provenance, PROVENANCE_HEADERS);
    assert_int_equal(config->delivery, DELIVERY_IDEMPOTENT);
    assert_int_equal(config->batch_interval_ms, 1000);
    assert_int_equal(config->batch_max_records, 0);
    assert_true(config->shutdown_graceful);
    assert_int_equal(config->shutdown_timeout_ms, 10000);
    assert_int_equal(config_cap_of(config, "in", 0), 0);
    assert_int_equal(config->rate_min_per_partition, 1);
    assert_false(config->first_batch_capped);
    assert_int_equal(config->fetch_max_records, 10000);
    assert_int_equal(config->fetch_timeout_ms, 10000);
    assert_int_equal(config->request_timeout_ms, 30000);
    assert_int_equal(config->session_timeout_ms, 10000);
    assert_int_equal(config->heartbeat_interval_ms, 3000);
    assert_int_equal(config->max_poll_interval_ms, 3000000);
    assert_int_equal(config->recovery_settle_ms, -1);
    assert_int_equal(config->on_data_loss, ON_DATA_LOSS_STOP);
    assert_int_equal(config->on_bad_record, ON_BAD_RECORD_STOP);
    assert_int_equal(config->ledger_keep_batches, 100000);
    assert_int_equal(config->memory_max_bytes, 32 * 1024 * 1024);
    assert_int_equal(config->log_level, 6);
    config_free(config);
}

static void a_default_configuration_warns_of_nothing(void **state)
{
    char *said = config_case_warnings("");

    (void)state;
    assert_string_equal(said, "");
    free(said);
}

static void what_must_be_set_is_asked_for(void **state)
{
    static const char *const NEEDED[] = {"job.name", "bootstrap.servers", "input.topics"};

    (void)state;
    for (size_t left_out = 0; left_out < 3; left_out++) {
        struct config *config = config_new();
        struct err err = {0};

        for (size_t i = 0; i < 3; i++) {
            assert_true(i == left_out || config_set(config, NEEDED[i], "x", "--set", &err));
        }
        assert_false(config_finish(config, 0, &err));
        assert_int_equal(err.kind, ERR_SETTINGS);
        assert_non_null(strstr(err.text, NEEDED[left_out]));
        config_free(config);
    }
}

static void a_later_set_wins_over_the_file_and_over_an_earlier_one(void **state)
{
    struct config *config = config_new();
    struct err err = {0};
    static const char TEXT[] = CONFIG_CASE_BASE "batch.interval.ms = 10\nclient.id = file\n";

    (void)state;
    assert_true(config_read_text(config, "f", TEXT, strlen(TEXT), &err));
    assert_true(config_set(config, "batch.interval.ms", "20", "--set", &err));
    assert_true(config_set(config, "batch.interval.ms", "30", "--set", &err));
    assert_true(config_set(config, "client.id", "set", "--set", &err));
    assert_true(config_finish(config, 0, &err));
    assert_int_equal(config->batch_interval_ms, 30);
    assert_int_equal(config->kafka_count, 2);
    assert_string_equal(config->kafka[1].value, "set");
    config_free(config);
}

static void a_setting_twice_in_the_file_is_refused(void **state)
{
    (void)state;
    config_case_bad("log.level = info\nlog.level = info\n", "f.conf:5", "log.level", "f.conf:4",
                    NULL);
    config_case_bad("fetch.max.records = 1\nmax.poll.records = 1\n", "f.conf:5", "max.poll.records",
                    "f.conf:4", "fetch.max.records", NULL);
    config_case_bad("kafka.max.poll.records = 1\nfetch.max.records = 1\n", "f.conf:5", NULL);
    config_case_bad("metadata.broker.list = a:1\n", "f.conf:4", "bootstrap.servers", "f.conf:2",
                    NULL);
    config_case_bad("linger.ms = 5\nproducer.queue.buffering.max.ms = 5\n", "f.conf:5", "linger.ms",
                    NULL);
}

static void aliases_mean_the_same_setting(void **state)
{
    struct config *config = config_case_good("spark.streaming.stopGracefullyOnShutdown = false\n"
                                             "spark.streaming.gracefulStopTimeout = 7s\n"
                                             "spark.streaming.kafka.maxRatePerPartition = 500\n"
                                             "spark.streaming.kafka.minRatePerPartition = 2\n"
                                             "kafka.max.poll.records = 77\n"
                                             "spark.streaming.ui.retainedBatches = 9\n"
                                             "input.start = latest\n"
                                             "errors.tolerance = all\n"
                                             "errors.deadletterqueue.topic.name = dead\n");

    (void)state;
    assert_false(config->shutdown_graceful);
    assert_int_equal(config->shutdown_timeout_ms, 7000);
    assert_int_equal(config_cap_of(config, "in", 3), 500);
    assert_int_equal(config->rate_min_per_partition, 2);
    assert_int_equal(config->fetch_max_records, 77);
    assert_int_equal(config->ledger_keep_batches, 9);
    assert_int_equal(config->start, CONFIG_START_LATEST);
    assert_int_equal(config->on_bad_record, ON_BAD_RECORD_SET_ASIDE);
    assert_string_equal(config->error_topic, "dead");
    config_free(config);
    config_case_bad("errors.tolerance = set-aside\n", "none, all", NULL);
    config_case_bad("on.bad.record = all\n", "stop, set-aside", NULL);
    config_free(config_case_good("processing.guarantee = exactly_once_v2\n"));
    config_case_bad("processing.guarantee = at_least_once\n", "exactly_once_v2", NULL);
}

/* Every row that isn't built, and every word, by the table itself. */
static void what_is_not_built_is_refused_unless_it_is_the_default(void **state)
{
    size_t tried = 0;

    (void)state;
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        const struct config_row *row = &CONFIG_ROWS[i];
        const char *other = row->type == CONFIG_TYPE_BOOL   ? "true"
                            : row->type == CONFIG_TYPE_WORD ? NULL
                                                            : "77";

        for (const struct config_word *word = row->words; word != NULL && word->word != NULL;
             word++) {
            if (word->alias == NULL && (row->unbuilt || word->unbuilt) &&
                strcmp(word->word, row->fallback) != 0) {
                other = word->word;
            }
        }
        if (other != NULL && (row->unbuilt || row->type == CONFIG_TYPE_WORD)) {
            char *line = mem_print("%s = %s\n", row->name, other);

            config_case_bad(line, "f.conf:4", row->name, "not built yet", NULL);
            free(line);
            tried++;
        }
        if (row->fallback != NULL) {
            char *line = mem_print("%s = %s\n", row->name, row->fallback);

            config_free(config_case_good(line));
            free(line);
        }
    }
    assert_true(tried > 0);
    config_free(config_case_good("transactional.id = j\nbackpressure.pid.min.rate = 100.0\n"
                                 "spark.speculation.quantile = .75\n"));
    config_case_bad("batch.max.bytes = 33554432\n", "not built yet", NULL);
}

static void back_pressure_has_the_documented_parameters(void **state)
{
    struct config *config = config_case_good("");

    (void)state;
    assert_false(config->backpressure);
    assert_int_equal(config->initial_rate, 0);
    assert_true(config->pid_proportional > 0.999 && config->pid_proportional < 1.001);
    assert_true(config->pid_integral > 0.199 && config->pid_integral < 0.201);
    assert_true(config->pid_derived < 0.001 && config->pid_min_rate > 99.9);
    assert_int_equal(config->rate_state_max_age_ms, 600000);
    config_free(config);
    config = config_case_good("spark.streaming.backpressure.enabled = true\n"
                              "spark.streaming.backpressure.initialRate = 5000\n"
                              "spark.streaming.backpressure.pid.proportional = 0\n"
                              "spark.streaming.backpressure.pid.integral = 0.25\n"
                              "spark.streaming.backpressure.pid.derived = 1e3\n"
                              "spark.streaming.backpressure.pid.minRate = .5\n"
                              "backpressure.state.max.age.ms = 1h\n");
    assert_true(config->backpressure);
    assert_int_equal(config->initial_rate, 5000);
    assert_true(config->pid_proportional < 0.001 && config->pid_integral > 0.24);
    assert_true(config->pid_derived > 999 && config->pid_min_rate < 0.51);
    assert_int_equal(config->rate_state_max_age_ms, 3600000);
    config_free(config);
    config_case_bad("backpressure.pid.proportional = -1\n", "f.conf:4", "from 0 on", NULL);
    config_case_bad("backpressure.pid.integral = much\n", "f.conf:4", "from 0 on", NULL);
    config_case_bad("backpressure.pid.derived = nan\n", "f.conf:4", "from 0 on", NULL);
    config_case_bad("backpressure.pid.min.rate = 0\n", "f.conf:4", "above 0", NULL);
    config_case_bad("backpressure.pid.min.rate = inf\n", "f.conf:4", "above 0", NULL);
    config_case_bad("backpressure.initial.rate = -1\n", "f.conf:4", "records/s", NULL);
}

static void back_pressure_needs_an_interval(void **state)
{
    (void)state;
    config_case_bad("batch.interval.ms = 0\nbackpressure.enabled = true\n", "f.conf:5",
                    "backpressure.enabled = true", "batch.interval.ms", "it is 0 (f.conf:4)", NULL);
    config_free(config_case_good("batch.interval.ms = 1\nbackpressure.enabled = true\n"));
    config_free(config_case_good("batch.interval.ms = 0\nbackpressure.enabled = false\n"));
}

static void topics_that_feed_each_other_are_refused(void **state)
{
    (void)state;
    config_case_bad("output.topic = in\n", "f.conf:4", "output.topic", "'in'", "input.topics",
                    NULL);
    config_case_bad("output.topic = {topic}\n", "output.topic", "'in'", NULL);
    config_case_bad("error.topic = in\n", "error.topic", "'in'", NULL);
    config_case_bad("error.topic = in_out\n", "error.topic", "output.topic", "'in_out'", NULL);
    config_free(config_case_good("output.topic = out.{topic}.{topic}\nerror.topic = errors\n"));
}

static void a_chain_of_inputs_that_name_each_other_s_outputs_is_refused(void **state)
{
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    assert_true(config_set(config, "job.name", "j", "--set", &err));
    assert_true(config_set(config, "bootstrap.servers", "h:1", "--set", &err));
    assert_true(config_set(config, "input.topics", "a,a_out", "--set", &err));
    assert_false(config_finish(config, 0, &err));
    assert_non_null(strstr(err.text, "'a_out'"));
    config_free(config);
}

static void an_output_s_name_that_becomes_too_long_is_refused(void **state)
{
    char name[TOPIC_NAME_MAX + 1];
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    memset(name, 'a', TOPIC_NAME_MAX);
    name[TOPIC_NAME_MAX] = '\0';
    assert_true(config_set(config, "job.name", "j", "--set", &err));
    assert_true(config_set(config, "bootstrap.servers", "h:1", "--set", &err));
    assert_true(config_set(config, "input.topics", name, "--set", &err));
    assert_false(config_finish(config, 0, &err));
    assert_non_null(strstr(err.text, "249"));
    config_free(config);
}

static void positions_need_one_source_for_each_output_partition(void **state)
{
    static const char POSITIONS[] = "output.provenance = positions\n";
    struct config *config = config_case_good(POSITIONS);
    char *text;

    (void)state;
    assert_int_equal(config->provenance, PROVENANCE_POSITIONS);
    config_free(config);
    text = mem_print("%soutput.partitioner = key\n", POSITIONS);
    config_case_bad(text, "f.conf:4: output.provenance=positions", "output.partitioner=same",
                    "f.conf:5", NULL);
    free(text);
    text = mem_print("%sdelivery.mode = transactional\n", POSITIONS);
    config_case_bad(text, "f.conf:4: output.provenance=positions", "delivery.mode=idempotent",
                    NULL);
    free(text);
}

static void no_provenance_needs_transactions(void **state)
{
    (void)state;
    config_case_bad("output.provenance = none\n", "f.conf:4: output.provenance=none",
                    "delivery.mode=transactional", NULL);
    config_free(config_case_good("output.provenance = none\ndelivery.mode = transactional\n"));
}

static void positions_need_an_output_topic_for_each_input_topic(void **state)
{
    static const char BASE[] = "job.name = j\nbootstrap.servers = b\ninput.topics = a,b\n"
                               "output.provenance = positions\noutput.topic = ";
    static const char *const TARGETS[] = {"out\n", "{topic}_x\n"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *text = mem_print("%s%s", BASE, TARGETS[i]);
        struct config *config = config_new();
        struct err err = {0};

        assert_true(config_read_text(config, "f", text, strlen(text), &err));
        assert_int_equal(config_finish(config, CONFIG_CASE_NOW_MS, &err), i == 1);
        if (i == 0) {
            assert_int_equal(err.kind, ERR_SETTINGS);
            assert_non_null(strstr(err.text, "2 input topics to 1"));
            assert_non_null(strstr(err.text, "{topic}"));
        }
        config_free(config);
        free(text);
    }
}

static void times_at_odds_are_warned_of_with_both_values(void **state)
{
    static const struct {
        const char *text;
        const char *first;
        const char *second;
    } CASES[] = {
        {"heartbeat.interval.ms = 10s\n", "heartbeat.interval.ms = 10000",
         "session.timeout.ms = 10000"},
        {"request.timeout.ms = 5000\n", "session.timeout.ms = 10000", "request.timeout.ms = 5000"},
        {"batch.interval.ms = 1h\n", "batch.interval.ms = 3600000",
         "max.poll.interval.ms = 3000000"},
        {"rate.max.per.partition = other:0=5\n", "'other'[0]", "rate.max.per.partition"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char *said = config_case_warnings(CASES[i].text);

        assert_non_null(strstr(said, "warning"));
        assert_non_null(strstr(said, CASES[i].first));
        assert_non_null(strstr(said, CASES[i].second));
        free(said);
    }
    config_case_bad("max.poll.interval.ms = 9999\n", "9999", "10000", NULL);
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* Each relation on the edge, one step to either side of it, set from either end, by every name. */
static void each_relation_is_judged_to_the_millisecond(void **state)
{
    static const struct {
        const char *text;
        size_t warnings;
        const char *words; /* in the last one */
    } CASES[] = {
        {"heartbeat.interval.ms = 9999\n", 0, NULL},
        {"heartbeat.interval.ms = 10000\n", 1,
         "heartbeat.interval.ms = 10000 (f.conf:4) should be below session.timeout.ms = 10000 "
         "(default)"},
        {"kafka.heartbeat.interval.ms = 11s\n", 1, "heartbeat.interval.ms = 11000 (f.conf:4)"},
        {"session.timeout.ms = 3001\n", 0, NULL},
        {"session.timeout.ms = 3000\n", 1,
         "heartbeat.interval.ms = 3000 (default) should be below session.timeout.ms = 3000 "
         "(f.conf:4)"},
        {"kafka.session.timeout.ms = 3s\nheartbeat.interval.ms = 2999\n", 0, NULL},
        {"session.timeout.ms = 29999\n", 0, NULL},
        {"session.timeout.ms = 30000\n", 1,
         "session.timeout.ms = 30000 (f.conf:4) should be below request.timeout.ms = 30000 "
         "(default)"},
        {"kafka.session.timeout.ms = 40s\nkafka.request.timeout.ms = 40001\n", 0, NULL},
        {"request.timeout.ms = 10001\n", 0, NULL},
        {"request.timeout.ms = 10000\n", 1,
         "session.timeout.ms = 10000 (default) should be below request.timeout.ms = 10000 "
         "(f.conf:4)"},
        {"batch.interval.ms = 2999999\n", 0, NULL},
        {"batch.interval.ms = 50m\n", 1,
         "batch.interval.ms = 3000000 (f.conf:4) should be below max.poll.interval.ms = 3000000 "
         "(default)"},
        {"max.poll.interval.ms = 10000\n", 0, NULL},
        {"max.poll.interval.ms = 10000\nbatch.interval.ms = 10s\n", 1,
         "batch.interval.ms = 10000 (f.conf:5) should be below max.poll.interval.ms = 10000 "
         "(f.conf:4)"},
        {"kafka.max.poll.interval.ms = 600s\nbatch.interval.ms = 1h\n", 1,
         "max.poll.interval.ms = 600000 (f.conf:4)"},
        {"batch.interval.ms = 0\nmax.poll.interval.ms = 10000\n", 0, NULL},
        {"session.timeout.ms = 10000\nheartbeat.interval.ms = 3000\nrequest.timeout.ms = 30000\n"
         "max.poll.interval.ms = 3000000\nfetch.max.records = 10000\n",
         0, NULL},
        {"session.timeout.ms = 40000\nheartbeat.interval.ms = 50000\n", 2,
         "session.timeout.ms = 40000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char *said = config_case_warnings(CASES[i].text);

        if (lines_of(said) != CASES[i].warnings) {
            fail_msg("'%s' gave: %s", CASES[i].text, said);
        }
        if (CASES[i].words != NULL && strstr(said, CASES[i].words) == NULL) {
            fail_msg("no '%s' in: %s", CASES[i].words, said);
        }
        free(said);
    }
    config_case_bad("session.timeout.ms = 3000001\n", "max.poll.interval.ms = 3000000",
                    "session.timeout.ms = 3000001", "f.conf:4", "librdkafka refuses", NULL);
    config_case_bad("kafka.max.poll.interval.ms = 9999\n", "max.poll.interval.ms = 9999",
                    "session.timeout.ms = 10000", "f.conf:4", NULL);
    config_case_bad("max.poll.interval.ms = 20s\nsession.timeout.ms = 21s\n", "f.conf:4",
                    "f.conf:5", NULL);
}

static void the_relation_to_the_measured_rate_is_watched_for_those_who_set_one_of_the_two(
    void **state)
{
    static const struct {
        const char *text;
        bool watched;
    } CASES[] = {
        {"", false},
        {"heartbeat.interval.ms = 100\n", false},
        {"fetch.max.records = 500\n", true},
        {"kafka.max.poll.records = 10000\n", true},
        {"max.poll.records = 500\n", true},
        {"session.timeout.ms = 9000\n", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct config *config = config_case_good(CASES[i].text);

        assert_int_equal(config->warn_of_pace, CASES[i].watched);
        config_free(config);
    }
}

static void times_that_agree_are_not_warned_of(void **state)
{
    char *said =
        config_case_warnings("heartbeat.interval.ms = 9999\nrequest.timeout.ms = 10001\n"
                             "max.poll.interval.ms = 10000\nrate.max.per.partition = in:0=5,*=2\n");

    (void)state;
    assert_string_equal(said, "");
    free(said);
}

static void by_duration_counts_back_from_the_start(void **state)
{
    struct config *config = config_case_good("auto.offset.reset = by_duration:PT1H\n");

    (void)state;
    assert_int_equal(config->start, CONFIG_START_TIME);
    assert_true(config->start_ms == CONFIG_CASE_NOW_MS - 3600000);
    config_free(config);
    config = config_case_good("auto.offset.reset = 1970-01-01T00:00:01Z\n");
    assert_int_equal(config->start, CONFIG_START_TIME);
    assert_int_equal(config->start_ms, 1000);
    config_free(config);
}

static void the_shutdown_timeout_follows_the_interval(void **state)
{
    struct config *config = config_case_good("batch.interval.ms = 5000\n");

    (void)state;
    assert_int_equal(config->shutdown_timeout_ms, 50000);
    config_free(config);
    config = config_case_good("batch.interval.ms = 5000\nshutdown.timeout.ms = 1\n");
    assert_int_equal(config->shutdown_timeout_ms, 1);
    config_free(config);
}

static void caps_are_found_by_partition(void **state)
{
    struct config *config = config_case_good("rate.max.per.partition = in:0=10, in:12=-5,*=3\n");

    (void)state;
    assert_int_equal(config_cap_of(config, "in", 0), 10);
    assert_int_equal(config_cap_of(config, "in", 12), 0);
    assert_int_equal(config_cap_of(config, "in", 1), 3);
    assert_int_equal(config_cap_of(config, "other", 0), 3);
    config_free(config);
    config = config_case_good("rate.max.per.partition = in:0=10\n");
    assert_int_equal(config_cap_of(config, "in", 1), 0);
    config_free(config);
}

static void printing_gives_every_built_setting_with_its_origin(void **state)
{
    struct config *config = config_case_good("log.level = debug\nclient.id = me\n");
    char *text = config_case_printed(config);

    (void)state;
    assert_non_null(strstr(text, "job.name = j  # f.conf:1\n"));
    assert_non_null(strstr(text, "log.level = debug  # f.conf:4\n"));
    assert_non_null(strstr(text, "client.id = me  # f.conf:5\n"));
    assert_non_null(strstr(text, "group.id = j  # default\n"));
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        assert_true((strstr(text, CONFIG_ROWS[i].name) != NULL) == !CONFIG_ROWS[i].unbuilt);
    }
    free(text);
    config_free(config);
}

static void help_lists_every_row_and_alias(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    (void)state;
    assert_non_null(stream);
    config_print_help(stream);
    fclose(stream);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        assert_non_null(strstr(text, CONFIG_ROWS[i].name));
        for (size_t a = 0; a < CONFIG_ALIASES_MAX && CONFIG_ROWS[i].aliases[a] != NULL; a++) {
            assert_non_null(strstr(text, CONFIG_ROWS[i].aliases[a]));
        }
    }
    free(text);
}

static void no_two_rows_share_a_name_or_alias(void **state)
{
    const char *alias;

    (void)state;
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        assert_ptr_equal(config_row_find(CONFIG_ROWS[i].name, &alias), &CONFIG_ROWS[i]);
        assert_null(alias);
        for (size_t a = 0; a < CONFIG_ALIASES_MAX && CONFIG_ROWS[i].aliases[a] != NULL; a++) {
            assert_ptr_equal(config_row_find(CONFIG_ROWS[i].aliases[a], &alias), &CONFIG_ROWS[i]);
            assert_non_null(alias);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fetch_that_times_out_while_all_is_well_is_refused),
        cmocka_unit_test(defaults_are_the_design_s),
        cmocka_unit_test(a_default_configuration_warns_of_nothing),
        cmocka_unit_test(what_must_be_set_is_asked_for),
        cmocka_unit_test(a_later_set_wins_over_the_file_and_over_an_earlier_one),
        cmocka_unit_test(a_setting_twice_in_the_file_is_refused),
        cmocka_unit_test(aliases_mean_the_same_setting),
        cmocka_unit_test(what_is_not_built_is_refused_unless_it_is_the_default),
        cmocka_unit_test(back_pressure_has_the_documented_parameters),
        cmocka_unit_test(back_pressure_needs_an_interval),
        cmocka_unit_test(topics_that_feed_each_other_are_refused),
        cmocka_unit_test(a_chain_of_inputs_that_name_each_other_s_outputs_is_refused),
        cmocka_unit_test(an_output_s_name_that_becomes_too_long_is_refused),
        cmocka_unit_test(positions_need_one_source_for_each_output_partition),
        cmocka_unit_test(no_provenance_needs_transactions),
        cmocka_unit_test(positions_need_an_output_topic_for_each_input_topic),
        cmocka_unit_test(times_at_odds_are_warned_of_with_both_values),
        cmocka_unit_test(times_that_agree_are_not_warned_of),
        cmocka_unit_test(each_relation_is_judged_to_the_millisecond),
        cmocka_unit_test(
            the_relation_to_the_measured_rate_is_watched_for_those_who_set_one_of_the_two),
        cmocka_unit_test(by_duration_counts_back_from_the_start),
        cmocka_unit_test(the_shutdown_timeout_follows_the_interval),
        cmocka_unit_test(caps_are_found_by_partition),
        cmocka_unit_test(printing_gives_every_built_setting_with_its_origin),
        cmocka_unit_test(help_lists_every_row_and_alias),
        cmocka_unit_test(no_two_rows_share_a_name_or_alias),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
