/* Metrics as Prometheus text. Most are numbers of struct metrics, listed once in a table; what has
 * labels of its own is written by hand below it.
 *
 * What can go wrong is only the writing: no permission, no room. */
#include "metrics.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum metric_type { COUNTER, GAUGE };
enum metric_unit { NUMBER, MILLISECONDS };

struct number {
    const char *name;
    enum metric_type type;
    enum metric_unit unit;
    size_t place; /* of an int64_t in struct metrics */
    const char *help;
};

#define AT(field) offsetof(struct metrics, field)

static const struct number NUMBERS[] = {
    {"start_time_seconds", GAUGE, MILLISECONDS, AT(start_wall_ms),
     "When this process began, Unix time."},
    {"metrics_timestamp_seconds", GAUGE, MILLISECONDS, AT(wall_ms),
     "When this file was written, Unix time: old when the process is gone or hangs."},
    {"starts_total", COUNTER, NUMBER, AT(figures.starts), "Starts of the process."},
    {"producer_replacements_total", COUNTER, NUMBER, AT(figures.producers),
     "Producers replaced in a running process."},
    {"batches_total", COUNTER, NUMBER, AT(figures.batches), "Batches settled."},
    {"recovered_batches_total", COUNTER, NUMBER, AT(figures.recovered),
     "Batches finished by recovery."},
    {"input_records_total", COUNTER, NUMBER, AT(figures.records), "Input records settled."},
    {"output_records_total", COUNTER, NUMBER, AT(figures.outputs),
     "Output records settled, those to error topics included."},
    {"found_records_total", COUNTER, NUMBER, AT(figures.found),
     "Output records that recovery found delivered."},
    {"set_aside_records_total", COUNTER, NUMBER, AT(figures.set_aside),
     "Records put aside because an output refused them."},
    {"doubled_records_total", COUNTER, NUMBER, AT(figures.events[LEDGER_FIGURE_DOUBLE]),
     "Records noticed twice in an output."},
    {"in_doubt_batches", GAUGE, NUMBER, AT(in_doubt), "Batches planned and not settled, 0 or 1."},
    {"in_flight_records", GAUGE, NUMBER, AT(in_flight), "Records sent and not acknowledged."},
    {"settled_batch", GAUGE, NUMBER, AT(settled), "Number of the last settled batch."},
    {"marked_batch", GAUGE, NUMBER, AT(mark),
     "Batch of the last mark that this process wrote to the Kafka group, 0 before the first."},
    {"ledger_wal_bytes", GAUGE, NUMBER, AT(wal_bytes), "Size of the ledger's write-ahead log."},
};

static const struct number LAST_BATCH[] = {
    {"last_batch_timestamp_seconds", GAUGE, MILLISECONDS, AT(figures.last_wall_ms),
     "When the last batch was settled, Unix time."},
    {"last_batch_processing_seconds", GAUGE, MILLISECONDS, AT(figures.last_processing_ms),
     "From the last batch's plan to its last acknowledgement."},
    {"last_batch_scheduling_seconds", GAUGE, MILLISECONDS, AT(figures.last_scheduling_ms),
     "From the last batch's tick to its plan."},
    {"last_batch_records", GAUGE, NUMBER, AT(figures.last_records),
     "Input records of the last batch."},
    {"last_batch_rate", GAUGE, NUMBER, AT(figures.last_rate),
     "Records/s that back-pressure allowed the last batch, 0 when it had no rate."},
};

static const struct {
    const char *kind;
    enum ledger_figure_event event;
} EVENTS[] = {
    {"recovery", LEDGER_FIGURE_RECOVERY}, {"refusal", LEDGER_FIGURE_REFUSAL},
    {"gap", LEDGER_FIGURE_GAP},           {"topic", LEDGER_FIGURE_TOPIC},
    {"mark", LEDGER_FIGURE_MARK},         {"failure", LEDGER_FIGURE_FAILURE},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void print_family(FILE *out, const char *name, enum metric_type type, const char *help)
{
    fprintf(out, "# HELP oncesink_%s %s\n# TYPE oncesink_%s %s\n", name, help, name,
            type == COUNTER ? "counter" : "gauge");
}

static void print_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            fputs("\\n", out);
            continue;
        }
        if (*text == '\\' || *text == '"') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

/* NAME{job_name="…" and, when `value` isn't NULL, LABEL="VALUE" */
static void print_sample(FILE *out, const struct metrics *metrics, const char *name,
                         const char *label, const char *value)
{
    fprintf(out, "oncesink_%s{job_name=\"", name);
    print_escaped(out, metrics->job);
    if (value != NULL) {
        fprintf(out, "\",%s=\"", label);
        print_escaped(out, value);
    }
    fputc('"', out);
}

static void print_numbers(FILE *out, const struct metrics *metrics, const struct number *numbers,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct number *number = &numbers[i];
        int64_t value;

        memcpy(&value, (const char *)metrics + number->place, sizeof(value));
        print_family(out, number->name, number->type, number->help);
        print_sample(out, metrics, number->name, NULL, NULL);
        if (number->unit == MILLISECONDS) {
            fprintf(out, "} %" PRId64 ".%03d\n", value / 1000, (int)(value % 1000));
        } else {
            fprintf(out, "} %" PRId64 "\n", value);
        }
    }
}

static void print_process(FILE *out, const struct metrics *metrics)
{
    print_family(out, "up", GAUGE, "1 while the process runs, 0 after it ended by itself.");
    print_sample(out, metrics, "up", NULL, NULL);
    fprintf(out, "} %d\n", metrics->up);
    if (!metrics->up) {
        print_family(out, "exit_code", GAUGE, "How the process ended.");
        print_sample(out, metrics, "exit_code", NULL, NULL);
        fprintf(out, "} %d\n", metrics->exit_code);
    }
    print_family(out, "build_info", GAUGE, "Versions, always 1.");
    print_sample(out, metrics, "build_info", "version", metrics->version);
    fputs(",librdkafka=\"", out);
    print_escaped(out, metrics->kafka_library);
    fputs("\",sqlite=\"", out);
    print_escaped(out, metrics->ledger_library);
    fputs("\"} 1\n", out);
}

static void print_last_batch(FILE *out, const struct metrics *metrics)
{
    print_numbers(out, metrics, LAST_BATCH, COUNT(LAST_BATCH));
    print_family(out, "last_batch_limited", GAUGE, "1 for what limited the last batch, else 0.");
    for (size_t i = 0; i < LIMITED_COUNT; i++) {
        print_sample(out, metrics, "last_batch_limited", "by", LIMITED_WORDS[i]);
        fprintf(out, "} %d\n", strcmp(LIMITED_WORDS[i], metrics->figures.last_limited_by) == 0);
    }
}

static void print_events(FILE *out, const struct metrics *metrics)
{
    print_family(out, "events_total", COUNTER, "Events in the ledger, by kind.");
    for (size_t i = 0; i < COUNT(EVENTS); i++) {
        print_sample(out, metrics, "events_total", "kind", EVENTS[i].kind);
        fprintf(out, "} %" PRId64 "\n", metrics->figures.events[EVENTS[i].event]);
    }
}

static int64_t next_offset(const struct ledger_input *input)
{
    return input->next_offset;
}

static int64_t end_offset(const struct ledger_input *input)
{
    return input->end_offset;
}

static int64_t lag(const struct ledger_input *input)
{
    int64_t behind = input->end_offset - input->next_offset;

    return input->end_offset < 0 ? -1 : behind > 0 ? behind : 0;
}

static void print_partitions(FILE *out, const struct metrics *metrics)
{
    static const struct {
        const char *name;
        const char *help;
        int64_t (*value)(const struct ledger_input *input); /* −1 = unknown */
    } PARTITION[] = {
        {"input_next_offset", "The next offset to settle, by input partition.", next_offset},
        {"input_end_offset", "Where the input partition ended when it was last looked at.",
         end_offset},
        {"input_lag", "Offsets from the next one to the end last seen.", lag},
    };

    for (size_t i = 0; i < COUNT(PARTITION); i++) {
        print_family(out, PARTITION[i].name, GAUGE, PARTITION[i].help);
        for (size_t p = 0; p < metrics->input_count; p++) {
            const struct ledger_input *input = &metrics->inputs[p];

            if (PARTITION[i].value(input) < 0) {
                continue;
            }
            print_sample(out, metrics, PARTITION[i].name, "topic", input->topic);
            fprintf(out, ",partition=\"%d\"} %" PRId64 "\n", (int)input->partition,
                    PARTITION[i].value(input));
        }
    }
}

char *metrics_text(const struct metrics *metrics)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return mem_text(""); /* no memory now: an empty file until the next one */
    }
    print_process(out, metrics);
    print_numbers(out, metrics, NUMBERS, COUNT(NUMBERS));
    if (metrics->figures.last_wall_ms > 0) {
        print_last_batch(out, metrics);
    }
    print_events(out, metrics);
    print_partitions(out, metrics);
    fclose(out);
    return text;
}

static char *temporary_name(const char *path)
{
    return mem_print("%s.tmp", path);
}

static bool write_all(int fd, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t written = write(fd, text, left);

        if (written < 0 && errno != EINTR) {
            return false;
        }
        text += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

bool metrics_write(const char *path, const char *text, struct err *err)
{
    char *temporary = temporary_name(path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    /* Readable for the collector's user, whatever the umask: there is no secret in it. */
    bool ok =
        fd >= 0 && write_all(fd, text) && fchmod(fd, 0644) == 0 && rename(temporary, path) == 0;

    if (!ok) {
        err_set(err, ERR_FAILED, errno, "metrics.file %s can't be written: %s", path,
                strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
        if (!ok) {
            unlink(temporary);
        }
    }
    free(temporary);
    return ok;
}

void metrics_remove(const char *path)
{
    char *temporary = temporary_name(path);

    unlink(temporary);
    unlink(path);
    free(temporary);
}
