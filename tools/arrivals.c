/* A load, read as time goes on. */
#include "arrivals.h"

#include "config_value.h"
#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PARTITIONS_OF_LOAD_MAX = 100000 };
#define SECOND_MAX INT64_C(1000000000000)

static bool count_records(struct arrivals *arrivals, struct err *err)
{
    for (size_t i = 0; i < arrivals->partitions; i++) {
        if (arrivals->arriving[i] < 0) {
            return lines_refuse(arrivals->lines, err,
                                "RECORDS must not be below 0, as they are for partition %zu", i);
        }
        if (__builtin_add_overflow(arrivals->total, arrivals->arriving[i], &arrivals->total)) {
            return lines_refuse(arrivals->lines, err, "more records in all than 64 bits can count");
        }
    }
    return true;
}

static bool parse_line(struct arrivals *arrivals, char *line, size_t *count_out, struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    char *second = lines_word(&line);
    char *records = lines_word(&line);
    char *more = lines_word(&line);
    const char *bad;

    if (!lines_integer(second, &arrivals->second) || arrivals->second < -SECOND_MAX ||
        arrivals->second > SECOND_MAX) {
        return lines_refuse(arrivals->lines, err,
                            "SECOND must be a whole number, at most %" PRId64 ", not '%s'",
                            SECOND_MAX, config_value_shown(second, shown));
    }
    if (records == NULL) {
        return lines_refuse(arrivals->lines, err, "RECORDS are missing");
    }
    if (!lines_integers(records, &arrivals->arriving, &arrivals->size, count_out, &bad)) {
        return lines_refuse(arrivals->lines, err,
                            "RECORDS must be whole numbers with commas between, not '%s'",
                            config_value_shown(bad, shown));
    }
    return more == NULL || lines_refuse(arrivals->lines, err, "'%s' is one word too many",
                                        config_value_shown(more, shown));
}

/* The next line into `second` and `arriving`, or `over`. */
static bool read_next(struct arrivals *arrivals, bool first, struct err *err)
{
    int64_t before = arrivals->second;
    size_t count = 0;
    char *line;

    if (!lines_next(arrivals->lines, &line, err)) {
        return false;
    }
    arrivals->over = line == NULL;
    if (line == NULL) {
        return true;
    }
    if (!parse_line(arrivals, line, &count, err)) {
        return false;
    }
    if (first && count > PARTITIONS_OF_LOAD_MAX) {
        return lines_refuse(arrivals->lines, err, "more than %d partitions",
                            PARTITIONS_OF_LOAD_MAX);
    }
    if (!first && count != arrivals->partitions) {
        return lines_refuse(arrivals->lines, err, "%zu partitions, the lines before had %zu", count,
                            arrivals->partitions);
    }
    if (!first && arrivals->second <= before) {
        return lines_refuse(arrivals->lines, err,
                            "second %" PRId64 " after second %" PRId64 ": they must ascend",
                            arrivals->second, before);
    }
    arrivals->partitions = count;
    return count_records(arrivals, err);
}

bool arrivals_open(struct arrivals *arrivals, struct lines *lines, struct err *err)
{
    *arrivals = (struct arrivals){.lines = lines};
    if (!read_next(arrivals, true, err)) {
        return false;
    }
    if (arrivals->over) {
        return err_set(err, ERR_FAILED, 0, "%s has no line with arrivals",
                       lines->name != NULL ? lines->name : "standard input");
    }
    arrivals->whole = mem_array(arrivals->partitions, sizeof(*arrivals->whole));
    return true;
}

void arrivals_deinit(struct arrivals *arrivals)
{
    free(arrivals->whole);
    free(arrivals->arriving);
    *arrivals = (struct arrivals){0};
}

/* floor(records × ms / 1000), ms from 0 to 999, without overflow. */
static int64_t part_of(int64_t records, int64_t ms)
{
    return records / 1000 * ms + records % 1000 * ms / 1000;
}

bool arrivals_until(struct arrivals *arrivals, int64_t at_ms, int64_t *ends_out, struct err *err)
{
    while (!arrivals->over && (arrivals->second + 1) * 1000 <= at_ms) {
        for (size_t i = 0; i < arrivals->partitions; i++) {
            arrivals->whole[i] += arrivals->arriving[i];
        }
        if (!read_next(arrivals, false, err)) {
            return false;
        }
    }
    for (size_t i = 0; i < arrivals->partitions; i++) {
        int64_t ms = arrivals->over ? 0 : at_ms - arrivals->second * 1000;

        ends_out[i] = arrivals->whole[i] + (ms > 0 ? part_of(arrivals->arriving[i], ms) : 0);
    }
    return true;
}

bool arrivals_are_over(const struct arrivals *arrivals, int64_t *next_out)
{
    *next_out = arrivals->second * 1000;
    return arrivals->over;
}
