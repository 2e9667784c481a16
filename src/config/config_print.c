/* The settings, printed: those in force (--check) and all there are (--help), both from the
 * table. */
#include "config_table.h"
#include "config_value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 4, HELP_WIDTH = 96 };

/* A default made of the job's name is as hidden as the name. */
static bool is_hidden(const struct config *config, const struct config_row *row)
{
    const struct config_place *place = config_row_place(config, row);
    const struct config_place *job = config_row_place(config, config_row("job.name"));

    return place->hidden ||
           (place->origin == NULL && job->hidden &&
            (strcmp(row->name, "group.id") == 0 || strcmp(row->name, "transactional.id") == 0 ||
             strcmp(row->name, "ledger.path") == 0));
}

static void print_row(const struct config *config, const struct config_row *row, FILE *out)
{
    const struct config_place *place = config_row_place(config, row);
    char *text = config_value_text(config, row);

    if (text == NULL) {
        fprintf(out, "# %s: %s  # default\n", row->name, config_row_default(row));
    } else {
        fprintf(out, "%s = %s  # %s\n", row->name, is_hidden(config, row) ? "[hidden]" : text,
                place->origin != NULL ? place->origin : "default");
    }
    free(text);
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        if (!CONFIG_ROWS[i].unbuilt) {
            print_row(config, &CONFIG_ROWS[i], out);
        }
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct config_kafka *setting = &config->kafka[i];

        fprintf(out, "%s = %s  # %s\n", setting->written,
                setting->hidden ? "[hidden]" : setting->value, setting->origin);
    }
}

/* ---- help ---- */

/* Words, broken into lines behind a margin. */
static void print_wrapped(const char *text, FILE *out)
{
    int column = 0;

    while (*text != '\0') {
        int size = (int)strcspn(text, " ");

        if (column > 0 && column + 1 + size > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += column == 0 ? fprintf(out, "%*s%.*s", HELP_COLUMN, "", size, text)
                              : fprintf(out, " %.*s", size, text);
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_words(const struct config_row *row, FILE *out)
{
    const char *between = "";

    for (const struct config_word *word = row->words; word->word != NULL; word++) {
        if (word->alias == NULL) {
            fprintf(out, "%s%s%s", between, word->word, word->unbuilt ? " (not built yet)" : "");
            between = " | ";
        }
    }
}

static void print_real_range(const struct config_row *row, FILE *out)
{
    const char *unit = row->unit != NULL ? row->unit : "a number";

    fprintf(out, row->real_above_min ? "%s, above %g" : "%s, from %g", unit, row->real_min);
    if (row->real_max > 0) {
        fprintf(out, row->real_above_min ? " and up to %g" : " to %g", row->real_max);
    }
}

/* What values there are. */
static void print_kind(const struct config_row *row, FILE *out)
{
    const char *unit = row->type == CONFIG_TYPE_MS      ? "ms"
                       : row->type == CONFIG_TYPE_BYTES ? "bytes"
                                                        : row->unit;

    switch (row->type) {
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_MS:
    case CONFIG_TYPE_BYTES:
        if (row->max == INT64_MAX) {
            fprintf(out, "%s, from %" PRId64, unit, row->min);
        } else {
            fprintf(out, "%s, %" PRId64 " to %" PRId64, unit, row->min, row->max);
        }
        break;
    case CONFIG_TYPE_REAL:
        print_real_range(row, out);
        break;
    case CONFIG_TYPE_BOOL:
        fputs("true | false", out);
        break;
    case CONFIG_TYPE_WORD:
        print_words(row, out);
        break;
    case CONFIG_TYPE_TOPICS:
        fputs("topics", out);
        break;
    case CONFIG_TYPE_PATTERN:
        fputs("a topic", out);
        break;
    case CONFIG_TYPE_JOB:
    case CONFIG_TYPE_TEXT:
        fputs("text", out);
        break;
    case CONFIG_TYPE_START:
        fputs("earliest | latest | by_duration:... | time", out);
        break;
    case CONFIG_TYPE_CAPS:
        fputs("records/s", out);
        break;
    }
}

static void print_row_help(const struct config_row *row, FILE *out)
{
    const char *fallback = config_row_default(row);

    fprintf(out, "  %s", row->name);
    if (*fallback != '\0') {
        fprintf(out, " = %s", fallback);
    }
    fputs("  (", out);
    print_kind(row, out);
    fprintf(out, ")%s\n", row->unbuilt ? "  [not built yet]" : "");
    print_wrapped(row->help, out);
    for (size_t a = 0; a < CONFIG_ALIASES_MAX && row->aliases[a] != NULL; a++) {
        fprintf(out, "%*salso: %s\n", HELP_COLUMN, "", row->aliases[a]);
    }
}

void config_print_help(FILE *out)
{
    fputs("Settings: one `name = value` a line, `#` begins a comment; shown with their defaults.\n"
          "Times take a unit too (10s, 5m, 1h, 1d), sizes as well (64MiB).\n"
          "${file:PATH} stands for what a file holds, ${env:NAME} for an environment variable.\n\n",
          out);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        print_row_help(&CONFIG_ROWS[i], out);
    }
    fputs("\nThe Kafka clients' settings have librdkafka's names (bootstrap.servers, which must be "
          "set,\n"
          "security.protocol, sasl.*, ssl.*, compression.type, ...) and go to all clients; "
          "consumer.NAME and\n"
          "producer.NAME go to one kind. kafka.NAME is the same as NAME. What exactly-once "
          "delivery fixes\n"
          "(acks, enable.idempotence, retries, ...) is refused when set to anything else.\n",
          out);
}
