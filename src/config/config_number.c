/* Numbers of settings: counts, times, bytes, switches and words are an int64_t, the rest a double;
 * a field takes it by its size. */
#include "config_number.h"

#include "mem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct unit {
    const char *name;
    enum config_type type;
    int64_t factor;
} UNITS[] = {
    {"ms", CONFIG_TYPE_MS, 1},
    {"s", CONFIG_TYPE_MS, 1000},
    {"m", CONFIG_TYPE_MS, 60000},
    {"min", CONFIG_TYPE_MS, 60000},
    {"h", CONFIG_TYPE_MS, 3600000},
    {"d", CONFIG_TYPE_MS, 86400000},
    {"b", CONFIG_TYPE_BYTES, 1},
    {"k", CONFIG_TYPE_BYTES, 1024},
    {"kb", CONFIG_TYPE_BYTES, 1024},
    {"kib", CONFIG_TYPE_BYTES, 1024},
    {"m", CONFIG_TYPE_BYTES, 1048576},
    {"mb", CONFIG_TYPE_BYTES, 1048576},
    {"mib", CONFIG_TYPE_BYTES, 1048576},
    {"g", CONFIG_TYPE_BYTES, 1073741824},
    {"gb", CONFIG_TYPE_BYTES, 1073741824},
    {"gib", CONFIG_TYPE_BYTES, 1073741824},
};
enum { UNIT_COUNT = sizeof(UNITS) / sizeof(UNITS[0]) };

/* A whole number with one of the type's units behind it, or none. */
static bool read_integer(enum config_type type, const char *text, int64_t *integer_out)
{
    char *end;
    int64_t integer;
    int64_t factor = 1;

    if (!isdigit((unsigned char)*text) && *text != '-') {
        return false;
    }
    errno = 0;
    integer = strtoll(text, &end, 10);
    if (errno != 0 || end == text || !isdigit((unsigned char)end[-1])) {
        return false;
    }
    while (isspace((unsigned char)*end)) {
        end++;
    }
    if (*end != '\0') {
        factor = 0;
        for (size_t i = 0; i < UNIT_COUNT && factor == 0; i++) {
            if (UNITS[i].type == type && strcasecmp(UNITS[i].name, end) == 0) {
                factor = UNITS[i].factor;
            }
        }
    }
    return factor > 0 && !__builtin_mul_overflow(integer, factor, integer_out);
}

/* In decimal; what a double can't hold, "inf" and "nan" aren't numbers here. */
static bool read_real(const struct config_row *row, const char *text, double *real_out)
{
    char *end;
    double real;

    if ((!isdigit((unsigned char)*text) && *text != '.') || strpbrk(text, "xX") != NULL) {
        return false;
    }
    real = strtod(text, &end);
    if (*end != '\0' || !isfinite(real) || real < row->real_min ||
        (row->real_above_min && !(real > row->real_min)) ||
        (row->real_max > 0 && real > row->real_max)) {
        return false;
    }
    *real_out = real;
    return true;
}

static bool refuse_real(const struct config_row *row, struct err *err)
{
    const char *least = row->real_above_min ? "above" : "from";

    if (row->real_max > 0) {
        return err_set(err, ERR_SETTINGS, 0, "must be a number %s %g %s %g", least, row->real_min,
                       row->real_above_min ? "and up to" : "to", row->real_max);
    }
    return err_set(err, ERR_SETTINGS, 0, "must be a number %s %g%s", least, row->real_min,
                   row->real_above_min ? "" : " on");
}

static bool read_bool(const char *text, int64_t *integer_out)
{
    if (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0) {
        return false;
    }
    *integer_out = strcasecmp(text, "true") == 0;
    return true;
}

static bool word_is_for(const struct config_word *word, const struct config_row *row,
                        const char *alias)
{
    bool own_words = false;

    for (const struct config_word *w = row->words; w->word != NULL; w++) {
        own_words =
            own_words || (w->alias != NULL && alias != NULL && strcmp(w->alias, alias) == 0);
    }
    if (own_words) {
        return word->alias != NULL && strcmp(word->alias, alias) == 0;
    }
    return word->alias == NULL;
}

static bool read_word(const struct config_row *row, const char *alias, const char *text,
                      int64_t *integer_out, struct err *err)
{
    char list[256] = "";
    size_t used = 0;

    for (const struct config_word *word = row->words; word->word != NULL; word++) {
        if (!word_is_for(word, row, alias)) {
            continue;
        }
        if (strcmp(word->word, text) == 0 && !word->unbuilt) {
            *integer_out = word->value;
            return true;
        }
        if (strcmp(word->word, text) == 0) {
            return err_set(err, ERR_SETTINGS, 0, "is not built yet; leave it at its default, %s",
                           config_row_default(row));
        }
        if (!word->unbuilt && used < sizeof(list)) {
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "",
                                     word->word);
        }
    }
    if (used == 0) {
        return err_set(err, ERR_SETTINGS, 0, "isn't known here; leave it out for %s = %s",
                       row->name, config_row_default(row));
    }
    return err_set(err, ERR_SETTINGS, 0, "must be %s%s", strchr(list, ',') != NULL ? "one of " : "",
                   list);
}

/* What the range of a row's numbers looks like in a message. */
static bool refuse_number(const struct config_row *row, struct err *err)
{
    const char *unit = row->unit != NULL                ? row->unit
                       : row->type == CONFIG_TYPE_MS    ? "ms, or with a unit as in 10s, 5m, 1h, 1d"
                       : row->type == CONFIG_TYPE_BYTES ? "bytes, or with a unit as in 64MiB"
                                                        : "";

    if (row->max == INT64_MAX) {
        return err_set(err, ERR_SETTINGS, 0, "must be a whole number from %" PRId64 " on (%s)",
                       row->min, unit);
    }
    return err_set(err, ERR_SETTINGS, 0,
                   "must be a whole number from %" PRId64 " to %" PRId64 " (%s)", row->min,
                   row->max, unit);
}

bool config_number_is(enum config_type type)
{
    return type == CONFIG_TYPE_COUNT || type == CONFIG_TYPE_MS || type == CONFIG_TYPE_BYTES ||
           type == CONFIG_TYPE_REAL || type == CONFIG_TYPE_BOOL || type == CONFIG_TYPE_WORD;
}

bool config_number_read(const struct config_row *row, const char *alias, const char *text,
                        struct config_number *number_out, struct err *err)
{
    *number_out = (struct config_number){0};
    if (row->type == CONFIG_TYPE_WORD) {
        return read_word(row, alias, text, &number_out->integer, err);
    }
    if (row->type == CONFIG_TYPE_BOOL) {
        return read_bool(text, &number_out->integer) ||
               err_set(err, ERR_SETTINGS, 0, "must be true or false");
    }
    if (row->type == CONFIG_TYPE_REAL) {
        return read_real(row, text, &number_out->real) || refuse_real(row, err);
    }
    if (!read_integer(row->type, text, &number_out->integer) || number_out->integer < row->min ||
        number_out->integer > row->max) {
        return refuse_number(row, err);
    }
    return true;
}

void config_number_store(const struct config_row *row, struct config_number number, void *place)
{
    int64_t wide = number.integer;
    int word = (int)number.integer;
    bool flag = number.integer != 0;

    if (row->type == CONFIG_TYPE_REAL) {
        assert(row->size == sizeof(number.real));
        memcpy(place, &number.real, sizeof(number.real));
        return;
    }
    switch (row->size) {
    case sizeof(wide):
        memcpy(place, &wide, sizeof(wide));
        break;
    case sizeof(word):
        memcpy(place, &word, sizeof(word));
        break;
    default:
        assert(row->size == sizeof(flag));
        memcpy(place, &flag, sizeof(flag));
        break;
    }
}

struct config_number config_number_load(const struct config_row *row, const void *place)
{
    int64_t wide;
    int word;
    bool flag;
    double real;

    if (row->type == CONFIG_TYPE_REAL) {
        assert(row->size == sizeof(real));
        memcpy(&real, place, sizeof(real));
        return (struct config_number){.real = real};
    }
    switch (row->size) {
    case sizeof(wide):
        memcpy(&wide, place, sizeof(wide));
        return (struct config_number){.integer = wide};
    case sizeof(word):
        memcpy(&word, place, sizeof(word));
        return (struct config_number){.integer = word};
    default:
        assert(row->size == sizeof(flag));
        memcpy(&flag, place, sizeof(flag));
        return (struct config_number){.integer = flag};
    }
}

char *config_number_real_text(double real)
{
    enum { DIGITS_MIN = 6, DIGITS_MAX = 17 };

    for (int digits = DIGITS_MIN;; digits++) {
        char *text = mem_print("%.*g", digits, real);
        double read = strtod(text, NULL);

        if (digits == DIGITS_MAX || (!(read < real) && !(read > real))) {
            return text;
        }
        free(text);
    }
}

const char *config_number_word(const struct config_row *row, struct config_number number)
{
    if (row->type == CONFIG_TYPE_BOOL) {
        return number.integer != 0 ? "true" : "false";
    }
    for (const struct config_word *word = row->words; word->word != NULL; word++) {
        if (word->value == number.integer && word->alias == NULL) {
            return word->word;
        }
    }
    return "?";
}
