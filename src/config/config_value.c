/* A setting's value, by type: numbers are config_number.c's, lists config_list.c's; texts and the
 * start are here. */
#include "config_value.h"

#include "config_list.h"
#include "config_number.h"
#include "config_time.h"
#include "mem.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *config_value_shown(const char *text, char shown[CONFIG_SHOWN_SIZE])
{
    size_t used = 0;

    while (used < CONFIG_SHOWN_SIZE - 4 && text[used] != '\0') {
        shown[used] = text[used];
        if (iscntrl((unsigned char)text[used])) {
            shown[used] = '?';
        }
        used++;
    }
    if (text[used] != '\0') {
        memcpy(shown + used, "...", 3);
        used += 3;
    }
    shown[used] = '\0';
    return shown;
}

/* ---- texts ---- */

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Letters, digits, '.', '_', '-', no '.' or '-' first: it is part of a file's and a group's
 * name. */
static bool is_job_name(const char *text)
{
    if (*text == '.' || *text == '-') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr("._-", *text) == NULL) {
            return false;
        }
    }
    return true;
}

/* With every {topic} taken for a letter it is a topic's name. */
static bool is_pattern(const char *text)
{
    char *name = config_topic_name(text, "t");
    bool valid = config_topic_is_valid(name);

    free(name);
    return valid;
}

static bool set_text(const struct config_row *row, const char *text, char **place, struct err *err)
{
    if (*text == '\0' || (int64_t)strlen(text) > row->max || !is_plain(text)) {
        return err_set(err, ERR_SETTINGS, 0, "must be a text of 1 to %" PRId64 " bytes on one line",
                       row->max);
    }
    if (row->type == CONFIG_TYPE_JOB && !is_job_name(text)) {
        return err_set(err, ERR_SETTINGS, 0,
                       "must be of letters, digits, '.', '_' and '-' and not begin with '.' or "
                       "'-': it names the "
                       "ledger's file and the Kafka group");
    }
    if (row->type == CONFIG_TYPE_PATTERN && !is_pattern(text)) {
        return err_set(err, ERR_SETTINGS, 0,
                       "must be a topic's name (letters, digits, '.', '_', '-', at most %d bytes), "
                       "in which {topic} may "
                       "stand for the input topic's",
                       TOPIC_NAME_MAX);
    }
    if (place != NULL) {
        free(*place);
        *place = mem_text(text);
    }
    return true;
}

/* ---- the start ---- */

static bool set_start(struct config *config, const char *text, struct err *err)
{
    static const char BY_DURATION[] = "by_duration:";
    static const size_t PREFIX_SIZE = sizeof(BY_DURATION) - 1;
    enum config_start start = CONFIG_START_TIME;
    int64_t start_ms = 0;
    int64_t before_ms = -1;

    if (strcmp(text, "earliest") == 0) {
        start = CONFIG_START_EARLIEST;
    } else if (strcmp(text, "latest") == 0) {
        start = CONFIG_START_LATEST;
    } else if (strncmp(text, BY_DURATION, PREFIX_SIZE) == 0) {
        if (!config_time_duration(text + PREFIX_SIZE, &before_ms)) {
            return err_set(err, ERR_SETTINGS, 0,
                           "must be by_duration: with an ISO 8601 duration of days, hours, "
                           "minutes, seconds behind "
                           "it, as in by_duration:P1D or by_duration:PT12H30M");
        }
    } else if (!config_time_rfc3339(text, &start_ms)) {
        return err_set(
            err, ERR_SETTINGS, 0,
            "must be earliest, latest, by_duration:P1D or the like, or a time with its zone as in "
            "2026-01-31T12:00:00Z");
    }
    config->start = start;
    config->start_ms = start_ms;
    config->start_before_ms = before_ms;
    return true;
}

/* ---- all of them ---- */

static bool set_caps(struct config *config, const char *text, struct err *err)
{
    struct config_cap *caps;
    size_t count;

    if (!config_caps_read(text, &caps, &count, err)) {
        return false;
    }
    config_caps_deinit(config->caps, config->cap_count);
    config->caps = caps;
    config->cap_count = count;
    return true;
}

bool config_value_set(struct config *config, const struct config_row *row, const char *alias,
                      const char *text, struct err *err)
{
    void *place = row->place == CONFIG_NOWHERE ? NULL : (char *)config + row->place;
    struct config_number number;

    if (config_number_is(row->type)) {
        if (!config_number_read(row, alias, text, &number, err)) {
            return false;
        }
        if (place != NULL) {
            config_number_store(row, number, place);
        }
        return true;
    }
    if (row->type == CONFIG_TYPE_TOPICS) {
        return config_list_read(text, place, err);
    }
    if (row->type == CONFIG_TYPE_CAPS) {
        return set_caps(config, text, err);
    }
    if (row->type == CONFIG_TYPE_START) {
        return set_start(config, text, err);
    }
    return set_text(row, text, place, err);
}

bool config_value_is_default(const struct config_row *row, const char *alias, const char *text)
{
    struct config_number given;
    struct config_number fallback;
    struct err ignored;

    if (row->fallback == NULL) {
        return false;
    }
    if (!config_number_is(row->type)) {
        return strcmp(row->fallback, text) == 0;
    }
    return config_number_read(row, alias, text, &given, &ignored) &&
           config_number_read(row, NULL, row->fallback, &fallback, &ignored) &&
           given.integer == fallback.integer && !(given.real < fallback.real) &&
           !(given.real > fallback.real);
}

char *config_value_text(const struct config *config, const struct config_row *row)
{
    const struct config_place *place = config_row_place(config, row);
    const void *field = row->place == CONFIG_NOWHERE ? NULL : (const char *)config + row->place;

    if (field != NULL && (row->type == CONFIG_TYPE_BOOL || row->type == CONFIG_TYPE_WORD)) {
        return mem_text(config_number_word(row, config_number_load(row, field)));
    }
    if (field != NULL && row->type == CONFIG_TYPE_REAL) {
        return config_number_real_text(config_number_load(row, field).real);
    }
    if (field != NULL && config_number_is(row->type)) {
        int64_t integer = config_number_load(row, field).integer;

        return integer < row->min ? NULL : mem_print("%" PRId64, integer);
    }
    if (field != NULL && row->type != CONFIG_TYPE_TOPICS && row->type != CONFIG_TYPE_CAPS &&
        row->type != CONFIG_TYPE_START) {
        return mem_text(*(char *const *)field);
    }
    return mem_text(place->value != NULL ? place->value : row->fallback);
}
