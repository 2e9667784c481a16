/* oncesink-simulate rate: the estimator's answers to sequences of batches. The formula is the
 * service's (rate_estimate.c).
 *
 * Exit: 0 done; 1 a line isn't what it must be, or answers can't be written. */
#include "simulate.h"

#include "config_value.h"
#include "rate_estimate.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char DOC[] =
    "Reads from standard input, a command a line:\n"
    "\n"
    "  new INTERVAL_MS P I D MIN_RATE         starts an estimator; prints nothing\n"
    "  TIME_MS RECORDS PROCESSING_MS DELAY_MS a batch: when it ended, what it took,\n"
    "                                         how long it took and how long after\n"
    "                                         its tick it began\n"
    "  bad INTERVAL_MS P I D MIN_RATE         are these parameters possible?\n"
    "\n"
    "Prints for each batch the new rate in records per second (17 digits) and its whole records, "
    "which is what counts, or '-' where the batch gives no new rate; for each 'bad' the word "
    "refused or accepted. Blank lines and those that begin with # are passed by. "
    "Answers leave whenever the input makes it wait.\v"
    "Example:\n"
    "  printf 'new 1000 1 0.2 0 100\\n1000 5000 500 0\\n2000 5000 800 0\\n' | oncesink-simulate "
    "rate\n"
    "prints '-' and '6250 6250'.";

static bool integer(const struct lines *in, char **rest, const char *what, int64_t *number_out,
                    struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    const char *word = lines_word(rest);

    if (word == NULL) {
        return lines_refuse(in, err, "%s is missing", what);
    }
    return lines_integer(word, number_out) ||
           lines_refuse(in, err, "%s must be a whole number of 64 bits, not '%s'", what,
                        config_value_shown(word, shown));
}

static bool real(const struct lines *in, char **rest, const char *what, double *number_out,
                 struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    const char *word = lines_word(rest);

    if (word == NULL) {
        return lines_refuse(in, err, "%s is missing", what);
    }
    return lines_real(word, number_out) || lines_refuse(in, err, "%s must be a number, not '%s'",
                                                        what, config_value_shown(word, shown));
}

static bool no_more(const struct lines *in, char **rest, struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    const char *word = lines_word(rest);

    return word == NULL ||
           lines_refuse(in, err, "'%s' is one word too many", config_value_shown(word, shown));
}

static bool parameters(const struct lines *in, char **rest,
                       struct rate_estimate_settings *settings_out, struct err *err)
{
    return integer(in, rest, "INTERVAL_MS", &settings_out->interval_ms, err) &&
           real(in, rest, "P", &settings_out->proportional, err) &&
           real(in, rest, "I", &settings_out->integral, err) &&
           real(in, rest, "D", &settings_out->derived, err) &&
           real(in, rest, "MIN_RATE", &settings_out->rate_min, err) && no_more(in, rest, err);
}

static bool batch(const struct lines *in, char *line, struct rate_estimate_batch *batch_out,
                  struct err *err)
{
    return integer(in, &line, "TIME_MS", &batch_out->time_ms, err) &&
           integer(in, &line, "RECORDS", &batch_out->records, err) &&
           integer(in, &line, "PROCESSING_MS", &batch_out->processing_ms, err) &&
           integer(in, &line, "DELAY_MS", &batch_out->scheduling_ms, err) &&
           no_more(in, &line, err);
}

struct rate_command {
    struct rate_estimate estimate;
    struct rate_estimate_settings settings;
    bool begun;
};

static bool answer_line(struct rate_command *command, const struct lines *in, char *line, FILE *out,
                        struct err *err)
{
    char *rest = line;
    struct rate_estimate_batch settled;

    if (strncmp(line, "new", 3) == 0 && strchr(" \t", line[3]) != NULL) {
        rest += 3;
        if (!parameters(in, &rest, &command->settings, err)) {
            return false;
        }
        if (!rate_estimate_is_allowed(&command->settings)) {
            return lines_refuse(in, err,
                                "such an estimator can't be: INTERVAL_MS and MIN_RATE must be "
                                "above 0, and P, I and D not below");
        }
        rate_estimate_init(&command->estimate);
        command->begun = true;
        return true;
    }
    if (strncmp(line, "bad", 3) == 0 && strchr(" \t", line[3]) != NULL) {
        struct rate_estimate_settings settings;

        rest += 3;
        if (!parameters(in, &rest, &settings, err)) {
            return false;
        }
        fprintf(out, "%s\n", rate_estimate_is_allowed(&settings) ? "accepted" : "refused");
        return true;
    }
    if (!batch(in, line, &settled, err)) {
        return false;
    }
    if (!command->begun) {
        return lines_refuse(in, err, "a batch before the first 'new': for which parameters?");
    }
    if (rate_estimate_add(&command->estimate, &command->settings, &settled)) {
        /* A NaN has a sign in print, but none that says anything. */
        fprintf(out, "%.17g %" PRId64 "\n",
                isnan(command->estimate.rate) ? (double)NAN : command->estimate.rate,
                command->estimate.published);
    } else {
        fputs("-\n", out);
    }
    return true;
}

bool simulate_rate(struct lines *in, FILE *out, struct err *err)
{
    struct rate_command command = {0};

    for (char *line = NULL;;) {
        if (!lines_next(in, &line, err)) {
            return false;
        }
        if (line == NULL) {
            return true;
        }
        if (!answer_line(&command, in, line, out, err)) {
            return false;
        }
    }
}

int cmd_rate(int argc, char **argv)
{
    return simulate_filter(argc, argv, DOC, simulate_rate);
}
