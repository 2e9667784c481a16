/* The text of metrics.file, and its way onto the disk. The whole grammar is checked by
 * tests/support/prometheus_text.py on files of a running service. */
#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct ledger_input inputs[] = {
    {.topic = "orders", .partition = 0, .next_offset = 90, .end_offset = 100},
    {.topic = "orders", .partition = 1, .next_offset = 7, .end_offset = -1},
    {.topic = "orders", .partition = 2, .next_offset = 7, .end_offset = 3},
};

static struct metrics sample(void)
{
    return (struct metrics){
        .job = "job",
        .version = "1.2.3",
        .kafka_library = "2.8.0",
        .ledger_library = "3.40.1",
        .wall_ms = 1700000000042,
        .start_wall_ms = 1700000000000,
        .up = true,
        .inputs = inputs,
        .input_count = sizeof(inputs) / sizeof(inputs[0]),
        .figures = {.batches = 12, .events = {[LEDGER_FIGURE_DOUBLE] = 3}},
    };
}

static void assert_line(const char *text, const char *line, bool there)
{
    char whole[256];
    bool found;

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    found = strstr(text, whole) != NULL;
    if (found != there) {
        print_message("%s in:\n%s", line, text);
    }
    assert_true(found == there);
}

static void numbers_are_there_with_help_and_type(void **state)
{
    struct metrics metrics = sample();
    char *text = metrics_text(&metrics);

    (void)state;
    assert_line(text,
                "# HELP oncesink_batches_total Batches settled.\n# TYPE oncesink_batches_total "
                "counter\noncesink_batches_total{job_name=\"job\"} 12",
                true);
    assert_line(text, "oncesink_doubled_records_total{job_name=\"job\"} 3", true);
    assert_line(text, "oncesink_start_time_seconds{job_name=\"job\"} 1700000000.000", true);
    assert_line(text, "oncesink_metrics_timestamp_seconds{job_name=\"job\"} 1700000000.042", true);
    assert_line(text,
                "oncesink_build_info{job_name=\"job\",version=\"1.2.3\",librdkafka=\"2.8.0\","
                "sqlite=\"3.40.1\"} 1",
                true);
    free(text);
}

static void lag_is_never_negative_and_absent_while_unknown(void **state)
{
    struct metrics metrics = sample();
    char *text = metrics_text(&metrics);

    (void)state;
    assert_line(text,
                "oncesink_input_lag{job_name=\"job\",topic=\"orders\",partition=\"0\"} 10\n"
                "oncesink_input_lag{job_name=\"job\",topic=\"orders\",partition=\"2\"} 0",
                true);
    assert_line(text,
                "oncesink_input_next_offset{job_name=\"job\",topic=\"orders\",partition=\"1\"} 7",
                true);
    free(text);
}

static void the_last_batch_is_told_once_there_is_one(void **state)
{
    struct metrics metrics = sample();
    char *text = metrics_text(&metrics);

    (void)state;
    assert_null(strstr(text, "last_batch"));
    free(text);
    metrics.figures.last_wall_ms = 1700000000001;
    metrics.figures.last_processing_ms = 1234;
    metrics.figures.last_rate = 4321;
    memcpy(metrics.figures.last_limited_by, "cap", 4);
    text = metrics_text(&metrics);
    assert_line(text, "oncesink_last_batch_timestamp_seconds{job_name=\"job\"} 1700000000.001",
                true);
    assert_line(text, "oncesink_last_batch_processing_seconds{job_name=\"job\"} 1.234", true);
    assert_line(text, "oncesink_last_batch_rate{job_name=\"job\"} 4321", true);
    assert_line(text, "oncesink_last_batch_limited{job_name=\"job\",by=\"cap\"} 1", true);
    assert_line(text, "oncesink_last_batch_limited{job_name=\"job\",by=\"none\"} 0", true);
    free(text);
}

static void an_end_is_told_with_its_exit_code(void **state)
{
    struct metrics metrics = sample();
    char *text = metrics_text(&metrics);

    (void)state;
    assert_line(text, "oncesink_up{job_name=\"job\"} 1", true);
    assert_null(strstr(text, "exit_code"));
    free(text);
    metrics.up = false;
    metrics.exit_code = 77;
    text = metrics_text(&metrics);
    assert_line(text, "oncesink_up{job_name=\"job\"} 0", true);
    assert_line(text, "oncesink_exit_code{job_name=\"job\"} 77", true);
    free(text);
}

static void labels_are_escaped(void **state)
{
    struct metrics metrics = sample();
    char *text;

    (void)state;
    metrics.job = "a\"b\\c\nd";
    text = metrics_text(&metrics);
    assert_line(text, "oncesink_up{job_name=\"a\\\"b\\\\c\\nd\"} 1", true);
    free(text);
}

static void a_file_is_replaced_whole_and_readable_for_all(void **state)
{
    char folder[] = "/tmp/oncesink-metrics-XXXXXX";
    char path[64];
    char temporary[80];
    char content[16] = "";
    struct stat found;
    struct err err;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/m.prom", folder);
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    umask(077);
    assert_true(metrics_write(path, "a longer one\n", &err));
    assert_true(metrics_write(path, "short\n", &err));
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0644);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(content, 1, sizeof(content), file), 6);
    fclose(file);
    assert_string_equal(content, "short\n");
    assert_int_equal(access(temporary, F_OK), -1);
    metrics_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    metrics_remove(path);
    assert_int_equal(rmdir(folder), 0);
    assert_false(metrics_write(path, "x\n", &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_there_with_help_and_type),
        cmocka_unit_test(lag_is_never_negative_and_absent_while_unknown),
        cmocka_unit_test(the_last_batch_is_told_once_there_is_one),
        cmocka_unit_test(an_end_is_told_with_its_exit_code),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(a_file_is_replaced_whole_and_readable_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
