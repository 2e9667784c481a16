/* The estimator, against tables of numbers (tests/conformance: the documented cases, and random
 * sequences answered by Spark itself), bit for bit; and what the tables don't show. */
#include "rate_estimate.h"

#include "support_table.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t integer_of(const char *field)
{
    char *end;
    int64_t number = strtoll(field, &end, 10);

    assert_true(end != field && *end == '\0');
    return number;
}

static double real_of(const char *field)
{
    char *end;
    double number = strtod(field, &end);

    assert_true(end != field && *end == '\0');
    return number;
}

/* INTERVAL_MS P I D MIN_RATE */
static struct rate_estimate_settings settings_of(const struct table *table)
{
    assert_true(table->count >= 6);
    return (struct rate_estimate_settings){
        .interval_ms = integer_of(table->fields[1]),
        .proportional = real_of(table->fields[2]),
        .integral = real_of(table->fields[3]),
        .derived = real_of(table->fields[4]),
        .rate_min = real_of(table->fields[5]),
    };
}

/* TIME N PROCESSING SCHEDULING, then `-`, or the rate and the integer. */
static void check_batch(const struct table *table, const struct rate_estimate_settings *settings,
                        struct rate_estimate *estimate)
{
    struct rate_estimate_batch batch;
    char rate[32] = "-";
    char published[32] = "";

    assert_true(table->count >= 5);
    batch = (struct rate_estimate_batch){
        .time_ms = integer_of(table->fields[0]),
        .records = integer_of(table->fields[1]),
        .processing_ms = integer_of(table->fields[2]),
        .scheduling_ms = integer_of(table->fields[3]),
    };
    if (rate_estimate_add(estimate, settings, &batch)) {
        snprintf(rate, sizeof(rate), "%.17g", estimate->rate);
        snprintf(published, sizeof(published), "%" PRId64, estimate->published);
    }
    if (strcmp(table->fields[4], rate) != 0 ||
        strcmp(table->count > 5 ? table->fields[5] : "", published) != 0) {
        fail_msg("%s:%zu: %s %s", table->name, table->line, rate, published);
    }
    assert_true(rate_estimate_is_sound(estimate));
}

static void check_table(const char *name, size_t news, size_t batches)
{
    static struct table table;
    struct rate_estimate_settings settings = {0};
    struct rate_estimate estimate;
    size_t news_found = 0;
    size_t batches_found = 0;

    table_open(&table, name);
    while (table_take(&table)) {
        if (strcmp(table.fields[0], "bad") == 0) {
            struct rate_estimate_settings bad = settings_of(&table);

            assert_int_equal(table.count, 7);
            assert_string_equal(table.fields[6],
                                rate_estimate_is_allowed(&bad) ? "accepted" : "refused");
        } else if (strcmp(table.fields[0], "new") == 0) {
            settings = settings_of(&table);
            assert_true(rate_estimate_is_allowed(&settings));
            rate_estimate_init(&estimate);
            news_found++;
        } else {
            assert_true(news_found > 0);
            check_batch(&table, &settings, &estimate);
            batches_found++;
        }
    }
    assert_int_equal(news_found, news);
    assert_int_equal(batches_found, batches);
}

static void it_agrees_with_the_documented_cases(void **state)
{
    (void)state;
    check_table("rate.txt", 11, 181);
}

static void it_agrees_with_spark(void **state)
{
    (void)state;
    check_table("spark-rate.txt", 20, 348);
}

static struct rate_estimate_settings usual(void)
{
    return (struct rate_estimate_settings){
        .interval_ms = 1000, .proportional = 1, .integral = 0.2, .rate_min = 100};
}

static struct rate_estimate_batch batch_at(int64_t time_ms, int64_t records, int64_t processing_ms)
{
    return (struct rate_estimate_batch){
        .time_ms = time_ms, .records = records, .processing_ms = processing_ms};
}

static void two_batches_come_before_the_first_rate(void **state)
{
    struct rate_estimate_settings settings = usual();
    struct rate_estimate_batch first = batch_at(1000, 500, 500);
    struct rate_estimate_batch second = batch_at(2000, 800, 500);
    struct rate_estimate estimate;

    (void)state;
    rate_estimate_init(&estimate);
    assert_true(rate_estimate_is_sound(&estimate));
    assert_false(rate_estimate_add(&estimate, &settings, &first));
    assert_int_equal(estimate.published, 0);
    assert_true(rate_estimate_add(&estimate, &settings, &second));
    assert_int_equal(estimate.published, 1600);
}

static void what_does_not_count_changes_nothing(void **state)
{
    static const struct rate_estimate_batch BATCHES[] = {
        {.time_ms = 1000, .records = 10, .processing_ms = 10}, /* no later than the last one */
        {.time_ms = 999, .records = 10, .processing_ms = 10},
        {.time_ms = 2000, .records = 0, .processing_ms = 10},
        {.time_ms = 2000, .records = 10, .processing_ms = 0},
        {.time_ms = 2000, .records = 10, .processing_ms = -3},
    };
    struct rate_estimate_settings settings = usual();
    struct rate_estimate_batch first = batch_at(1000, 500, 500);
    struct rate_estimate estimate;
    struct rate_estimate before;

    (void)state;
    rate_estimate_init(&estimate);
    assert_false(rate_estimate_add(&estimate, &settings, &first));
    before = estimate;
    for (size_t i = 0; i < sizeof(BATCHES) / sizeof(BATCHES[0]); i++) {
        assert_false(rate_estimate_add(&estimate, &settings, &BATCHES[i]));
        assert_false(estimate.first);
        assert_int_equal(estimate.time_ms, before.time_ms);
        assert_true(!(estimate.rate < before.rate) && !(estimate.rate > before.rate));
        assert_int_equal(estimate.published, 0);
    }
}

static void settings_that_are_no_numbers_are_refused(void **state)
{
    struct rate_estimate_settings settings = usual();

    (void)state;
    assert_true(rate_estimate_is_allowed(&settings));
    settings.rate_min = 1e-300;
    assert_true(rate_estimate_is_allowed(&settings));
    settings.rate_min = (double)NAN;
    assert_false(rate_estimate_is_allowed(&settings));
    settings = usual();
    settings.proportional = (double)INFINITY;
    assert_false(rate_estimate_is_allowed(&settings));
    settings = usual();
    settings.derived = (double)NAN;
    assert_false(rate_estimate_is_allowed(&settings));
}

static void only_what_an_earlier_process_left_grows_too_old(void **state)
{
    struct rate_estimate left = {.time_ms = 5000, .rate = 500, .published = 500};
    struct rate_estimate cold;

    (void)state;
    rate_estimate_init(&cold);
    assert_false(rate_estimate_is_stale(&left, 6000, 15000, 10000));
    assert_true(rate_estimate_is_stale(&left, 6000, 15001, 10000));
    assert_false(rate_estimate_is_stale(&left, 5000, 1000000, 10000)); /* seen by this process */
    assert_true(rate_estimate_is_stale(&left, 5001, 5001, 0));
    assert_false(rate_estimate_is_stale(&left, 6000, INT64_MAX, INT64_MAX));
    assert_false(rate_estimate_is_stale(&cold, 6000, 1000000, 0)); /* there is nothing to drop */
}

/* P·err beyond what a double holds, twice, is no number any more. */
static void numbers_beyond_a_double_are_noticed(void **state)
{
    struct rate_estimate_settings settings = {
        .interval_ms = 1, .proportional = 1e308, .derived = 1e308, .rate_min = 1};
    struct rate_estimate estimate;
    bool sound = true;

    (void)state;
    rate_estimate_init(&estimate);
    for (int64_t i = 1; i < 50; i++) {
        struct rate_estimate_batch batch = batch_at(i * 1000, i % 2 == 0 ? INT64_MAX : 1, 1);

        (void)rate_estimate_add(&estimate, &settings, &batch);
        sound = sound && rate_estimate_is_sound(&estimate);
    }
    assert_false(sound);
}

static void the_largest_numbers_do_no_harm(void **state)
{
    struct rate_estimate_settings settings = usual();
    struct rate_estimate_batch batch = batch_at(INT64_MAX, INT64_MAX, 1);
    struct rate_estimate estimate;

    (void)state;
    rate_estimate_init(&estimate);
    assert_false(rate_estimate_add(&estimate, &settings, &batch));
    assert_true(rate_estimate_is_sound(&estimate));
    rate_estimate_init(&estimate);
    batch.time_ms = 0;
    assert_false(rate_estimate_add(&estimate, &settings, &batch));
    batch.time_ms = INT64_MAX;
    assert_true(rate_estimate_add(&estimate, &settings, &batch));
    assert_int_equal(estimate.published, INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_the_documented_cases),
        cmocka_unit_test(it_agrees_with_spark),
        cmocka_unit_test(two_batches_come_before_the_first_rate),
        cmocka_unit_test(what_does_not_count_changes_nothing),
        cmocka_unit_test(settings_that_are_no_numbers_are_refused),
        cmocka_unit_test(only_what_an_earlier_process_left_grows_too_old),
        cmocka_unit_test(numbers_beyond_a_double_are_noticed),
        cmocka_unit_test(the_largest_numbers_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
