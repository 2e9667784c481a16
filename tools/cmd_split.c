/* oncesink-simulate split: what each partition gives to a batch. The rules are the service's
 * (rate_split.c).
 *
 * Exit: 0 done; 1 a line isn't what it must be, or answers can't be written. */
#include "simulate.h"

#include "config_value.h"
#include "mem.h"
#include "rate_split.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char DOC[] =
    "Reads from standard input, a batch a line:\n"
    "\n"
    "  ID INTERVAL_MS on|off first|later|capped RATE INITIAL MAX,.. MIN,.. CURRENT,.. LATEST,..\n"
    "\n"
    "  on|off    back-pressure\n"
    "  first     the first non-empty batch of a new ledger, with\n"
    "            rate.first.batch=unlimited; later: any other; capped: any batch\n"
    "            with rate.first.batch=capped\n"
    "  RATE      the estimator's, in whole records per second; 0 or less: none yet\n"
    "  INITIAL   backpressure.initial.rate; 0: none\n"
    "  MAX,..    each partition's cap in records per second; 0: none\n"
    "  MIN,..    what each gives at least, in records per batch\n"
    "  CURRENT,.. LATEST,.. the next offset of each, and where it ends\n"
    "\n"
    "Prints ID and what each partition may give, before that is cut to what is there; or ID and "
    "'-' where nothing limits it. Blank lines and those that begin with # are passed by. "
    "Answers leave whenever the input makes it wait.\v"
    "Example:\n"
    "  echo 'a 2000 on later -1 100 50,50,50 1,1,1 0,0,0 700,200,100' | oncesink-simulate split\n"
    "prints 'a 100,40,20'.";

enum column { MAX, MIN, CURRENT, LATEST, LIST_COLUMNS };

struct split_command {
    char *id;
    struct rate_split split;
    int64_t *lists[LIST_COLUMNS];
    size_t list_sizes[LIST_COLUMNS];
    struct rate_share *shares;
    size_t share_size, count;
};

static bool column(const struct lines *in, char **rest, const char *what, char **word_out,
                   struct err *err)
{
    *word_out = lines_word(rest);
    return *word_out != NULL || lines_refuse(in, err, "%s is missing", what);
}

static bool number(const struct lines *in, char **rest, const char *what, int64_t *number_out,
                   struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    char *word;

    return column(in, rest, what, &word, err) &&
           (lines_integer(word, number_out) ||
            lines_refuse(in, err, "%s must be a whole number of 64 bits, not '%s'", what,
                         config_value_shown(word, shown)));
}

/* One of two or three words: which one, from 0 on. */
static bool choice(const struct lines *in, char **rest, const char *const *words, size_t count,
                   size_t *chosen_out, struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    char *word;

    if (!column(in, rest, words[count], &word, err)) {
        return false;
    }
    for (*chosen_out = 0; *chosen_out < count; ++*chosen_out) {
        if (strcmp(word, words[*chosen_out]) == 0) {
            return true;
        }
    }
    return lines_refuse(in, err, "one of %s must stand here, not '%s'", words[count],
                        config_value_shown(word, shown));
}

static bool read_lists(struct split_command *command, const struct lines *in, char **rest,
                       struct err *err)
{
    static const char *const NAMES[] = {"MAX", "MIN", "CURRENT", "LATEST"};
    char shown[CONFIG_SHOWN_SIZE];

    for (int c = 0; c < LIST_COLUMNS; c++) {
        const char *bad;
        size_t count;
        char *word;

        if (!column(in, rest, NAMES[c], &word, err)) {
            return false;
        }
        if (!lines_integers(word, &command->lists[c], &command->list_sizes[c], &count, &bad)) {
            return lines_refuse(in, err, "%s must be whole numbers with commas between, not '%s'",
                                NAMES[c], config_value_shown(bad, shown));
        }
        if (c == 0) {
            command->count = count;
        }
        if (count != command->count) {
            return lines_refuse(in, err, "MAX has %zu partitions, %s has %zu", command->count,
                                NAMES[c], count);
        }
    }
    return true;
}

static bool make_shares(struct split_command *command, const struct lines *in, struct err *err)
{
    if (command->count > command->share_size) {
        command->share_size = command->list_sizes[0];
        command->shares = mem_grow(command->shares, command->share_size, sizeof(*command->shares));
    }
    for (size_t i = 0; i < command->count; i++) {
        command->shares[i] = (struct rate_share){.current = command->lists[CURRENT][i],
                                                 .latest = command->lists[LATEST][i],
                                                 .cap = command->lists[MAX][i],
                                                 .minimum = command->lists[MIN][i]};
        if (command->shares[i].current < 0 || command->shares[i].minimum < 0) {
            return lines_refuse(in, err, "%s must not be below 0, as it is for partition %zu",
                                command->shares[i].current < 0 ? "CURRENT" : "MIN", i);
        }
    }
    return true;
}

static bool read_line(struct split_command *command, const struct lines *in, char *line,
                      struct err *err)
{
    static const char *const SWITCH[] = {"off", "on", "on, off"};
    static const char *const FIRST[] = {"later", "first", "capped", "first, later, capped"};
    struct rate_split *split = &command->split;
    size_t on, first;
    const char *more;
    char shown[CONFIG_SHOWN_SIZE];

    *split = (struct rate_split){0};
    if (!column(in, &line, "ID", &command->id, err) ||
        !number(in, &line, "INTERVAL_MS", &split->interval_ms, err) ||
        !choice(in, &line, SWITCH, 2, &on, err) || !choice(in, &line, FIRST, 3, &first, err) ||
        !number(in, &line, "RATE", &split->rate, err) ||
        !number(in, &line, "INITIAL", &split->initial, err) ||
        !read_lists(command, in, &line, err)) {
        return false;
    }
    if (split->interval_ms < 0) {
        return lines_refuse(in, err, "INTERVAL_MS must not be below 0");
    }
    more = lines_word(&line);
    if (more != NULL) {
        return lines_refuse(in, err, "'%s' is one word too many", config_value_shown(more, shown));
    }
    split->backpressure = on == 1;
    split->first_unlimited = first == 1;
    return make_shares(command, in, err);
}

static void print_takes(struct split_command *command, FILE *out)
{
    enum limited_by limited;

    fputs(command->id, out);
    if (!rate_split_is_limited(&command->split, command->shares, command->count)) {
        fputs(" -\n", out);
        return;
    }
    rate_split(&command->split, command->shares, command->count, &limited);
    for (size_t i = 0; i < command->count; i++) {
        fprintf(out, "%c%" PRId64, i == 0 ? ' ' : ',', command->shares[i].take);
    }
    fputc('\n', out);
}

bool simulate_split(struct lines *in, FILE *out, struct err *err)
{
    struct split_command command = {0};
    bool done;

    for (char *line = NULL;;) {
        done = lines_next(in, &line, err);
        if (!done || line == NULL) {
            break;
        }
        done = read_line(&command, in, line, err);
        if (!done) {
            break;
        }
        print_takes(&command, out);
    }
    for (int c = 0; c < LIST_COLUMNS; c++) {
        free(command.lists[c]);
    }
    free(command.shares);
    return done;
}

int cmd_split(int argc, char **argv)
{
    return simulate_filter(argc, argv, DOC, simulate_split);
}
