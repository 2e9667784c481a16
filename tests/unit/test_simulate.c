/* The parts of oncesink-simulate that decide something: loads over time, a job's batches, what a
 * run comes to, and the picture's memory. The command itself: tests/cli/simulate.bats. */
#include "arrivals.h"
#include "sim_job.h"
#include "sim_plot.h"
#include "sim_summary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct text {
    const char *at;
};

static ssize_t read_text(void *arg, char *buffer, size_t size)
{
    struct text *text = arg;
    size_t there = strlen(text->at);

    size = size < there ? size : there;
    memcpy(buffer, text->at, size);
    text->at += size;
    return (ssize_t)size;
}

struct load {
    struct text text;
    struct lines lines;
    struct arrivals arrivals;
};

static void open_load(struct load *load, const char *text)
{
    struct err err;

    load->text.at = text;
    lines_init(&load->lines, (struct lines_source){.read = read_text, .arg = &load->text}, NULL);
    assert_true(arrivals_open(&load->arrivals, &load->lines, &err));
}

static void close_load(struct load *load)
{
    arrivals_deinit(&load->arrivals);
    lines_deinit(&load->lines);
}

static void records_arrive_evenly_over_their_second(void **state)
{
    static const struct {
        int64_t at_ms, first, second;
    } CASES[] = {
        {0, 7, 0},      {1, 7, 0},      {333, 7, 332},    {1000, 7, 999},
        {1999, 7, 999}, {4000, 7, 999}, {4500, 8, 999},   {4999, 8, 999},
        {5000, 9, 999}, {6000, 9, 999}, {900000, 9, 999},
    };
    struct load load;
    int64_t ends[2];
    struct err err;

    (void)state;
    open_load(&load, "-3 7,0\n0 0,999\n4 2,0\n");
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_true(arrivals_until(&load.arrivals, CASES[i].at_ms, ends, &err));
        assert_int_equal(ends[0], CASES[i].first);
        assert_int_equal(ends[1], CASES[i].second);
    }
    assert_true(load.arrivals.over);
    close_load(&load);
}

static const int64_t NO_CAPS[] = {0, 0};

static struct sim_settings settings_of(double records_per_s)
{
    return (struct sim_settings){
        .interval_ms = 1000,
        .backpressure = true,
        .initial = 1000,
        .estimator = {.interval_ms = 1000,
                      .proportional = 1,
                      .integral = 0.2,
                      .derived = 0,
                      .rate_min = 100},
        .minimum = 1,
        .caps = NO_CAPS,
        .records_per_s = records_per_s,
    };
}

static void the_estimator_finds_the_speed_of_the_sink(void **state)
{
    struct sim_settings settings = settings_of(4000);
    struct load load;
    struct sim_job job;
    struct sim_batch batch;
    struct err err;

    (void)state;
    settings.overhead_ms = 50;
    open_load(&load, "-1 50000,50000\n");
    sim_job_init(&job, &settings, &load.arrivals);
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(sim_job_step(&job, &batch, &err), SIM_BATCH);
        assert_int_equal(batch.number, i);
        assert_int_equal(batch.limited, i < 3 ? LIMITED_INITIAL : LIMITED_ESTIMATOR);
    }
    /* 950 ms of each second are left for 4000 records/s. */
    assert_in_range(batch.rate, 3790, 3801);
    assert_in_range(batch.processing_ms, 999, 1001);
    assert_true(batch.scheduling_ms <= 1);
    sim_job_deinit(&job);
    close_load(&load);
}

/* Two minutes without a broker count as they are: the rate falls as low as it goes, and comes back
 * by itself. */
static void a_batch_that_was_held_up_costs_the_rate_for_some_batches(void **state)
{
    struct sim_settings settings = settings_of(60000);
    struct load load;
    struct sim_job job;
    struct sim_batch batch;
    struct err err;

    (void)state;
    settings.overhead_ms = 20;
    open_load(&load, "-1 50000000,50000000\n");
    sim_job_init(&job, &settings, &load.arrivals);
    for (int i = 1; i <= 30; i++) {
        job.settings.overhead_ms = i == 20 ? 120000 : 20;
        assert_int_equal(sim_job_step(&job, &batch, &err), SIM_BATCH);
        if (i == 20 || i >= 28) {
            assert_in_range(batch.rate, 55000, 60000);
        }
        if (i == 21) {
            assert_in_range(batch.rate, 100, 500);
        }
    }
    sim_job_deinit(&job);
    close_load(&load);
}

static void a_job_ends_when_nothing_more_is_taken(void **state)
{
    struct sim_settings settings = settings_of(1000);
    struct load load;
    struct sim_job job;
    struct sim_batch batch;
    struct err err;
    int64_t backlog;

    (void)state;
    open_load(&load, "0 5,0\n100000000000 1,1\n");
    sim_job_init(&job, &settings, &load.arrivals);
    assert_int_equal(sim_job_step(&job, &batch, &err), SIM_BATCH);
    assert_int_equal(batch.tick_ms, 1000);
    /* The long time without anything to do takes one step. */
    assert_int_equal(sim_job_step(&job, &batch, &err), SIM_EMPTY);
    assert_int_equal(sim_job_step(&job, &batch, &err), SIM_BATCH);
    assert_int_equal(batch.tick_ms, INT64_C(100000000001000));
    assert_int_equal(batch.takes[0] + batch.takes[1], 2);
    assert_int_equal(sim_job_step(&job, &batch, &err), SIM_END);
    assert_true(sim_job_backlog(&job, &backlog, &err));
    assert_int_equal(backlog, 0);
    sim_job_deinit(&job);
    close_load(&load);
}

/* The summary of batches that the estimator cut to these rates, under a load. */
static char *summary_of(const int64_t *rates, const int64_t *left, size_t count)
{
    struct sim_summary summary;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    sim_summary_init(&summary, 1000);
    for (size_t i = 0; i < count; i++) {
        struct sim_batch batch = {.number = (int64_t)i + 1,
                                  .records = rates[i],
                                  .rate = rates[i],
                                  .limited = LIMITED_ESTIMATOR,
                                  .left = left[i],
                                  .processing_ms = 1000};

        sim_summary_add(&summary, &batch, true);
    }
    sim_summary_print(&summary, 0, out);
    fclose(out);
    return text;
}

static void the_settled_rate_is_told_from_where_it_stays_within_a_tenth(void **state)
{
    static const int64_t RATES[] = {5000, 100, 1000, 1050, 1100, 1020};
    static const int64_t LEFT[] = {9000, 8000, 7000, 6000, 5000, 4000};
    static const int64_t GROWING[] = {1000, 3000, 5000, 7000, 9000, 11000};
    char *text = summary_of(RATES, LEFT, 6);

    (void)state;
    assert_non_null(strstr(text, "settled rate:   1042 records/s from batch 3 on (1000 to 1100)"));
    assert_non_null(strstr(text, "it is catching up; 4000 records were left, at most 9000"));
    free(text);
    text = summary_of(RATES, LEFT, 4);
    assert_non_null(strstr(text, "settled rate:   none; the last in force was 1050 records/s"));
    free(text);
    text = summary_of(RATES, GROWING, 6);
    assert_non_null(strstr(text, "keeps up:       no; 11000 records were left"));
    free(text);
}

static void a_picture_of_a_long_run_is_thinned_out_and_keeps_the_longest_delay(void **state)
{
    struct plot plot;
    double most = 0;

    (void)state;
    plot_init(&plot, 1000);
    for (int64_t i = 0; i < 100000; i++) {
        struct sim_batch batch = {.number = i + 1,
                                  .tick_ms = i * 1000,
                                  .records = 5,
                                  .scheduling_ms = i == 77777 ? 60000 : 1,
                                  .processing_ms = 9};

        plot_add(&plot, &batch);
    }
    assert_in_range(plot.count, 1000, 20000);
    for (size_t i = 0; i < plot.count; i++) {
        most = plot.points[i].values[3] > most ? plot.points[i].values[3] : most;
    }
    assert_true(most == 60);
    plot_deinit(&plot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_arrive_evenly_over_their_second),
        cmocka_unit_test(the_estimator_finds_the_speed_of_the_sink),
        cmocka_unit_test(a_batch_that_was_held_up_costs_the_rate_for_some_batches),
        cmocka_unit_test(a_job_ends_when_nothing_more_is_taken),
        cmocka_unit_test(the_settled_rate_is_told_from_where_it_stays_within_a_tenth),
        cmocka_unit_test(a_picture_of_a_long_run_is_thinned_out_and_keeps_the_longest_delay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
