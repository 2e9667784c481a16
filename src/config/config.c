/* The settings in force.
 *
 * Each setting, from wherever, takes the same way: name → row of the table, or librdkafka's; value
 * → `${…}` filled in → checked by type → stored, with its origin. What depends on several settings
 * waits for config_finish (config_finish.c). Every error is wrapped here with its origin:
 * `FILE:LINE: NAME = VALUE: what it must be`. */
#include "config.h"

#include "config_client.h"
#include "config_expand.h"
#include "config_list.h"
#include "config_read.h"
#include "config_table.h"
#include "config_value.h"
#include "mem.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct config *config_new(void)
{
    struct config *config = mem_zero(sizeof(*config));
    struct err err;

    config->places = mem_array(CONFIG_ROW_COUNT, sizeof(*config->places));
    config->start_before_ms = -1;
    config->recovery_settle_ms = -1;
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        if (CONFIG_ROWS[i].fallback != NULL) {
            bool set =
                config_value_set(config, &CONFIG_ROWS[i], NULL, CONFIG_ROWS[i].fallback, &err);

            assert(set);
            (void)set;
        }
    }
    return config;
}

void config_free(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        free(config->places[i].origin);
        free(config->places[i].value);
    }
    free(config->places);
    config_client_deinit(config);
    config_list_deinit(&config->input_topics);
    config_caps_deinit(config->caps, config->cap_count);
    free(config->job_name);
    free(config->group_id);
    free(config->transactional_id);
    free(config->ledger_path);
    free(config->output_topic);
    free(config->error_topic);
    free(config->metrics_file);
    free(config);
}

/* One setting on its way. */
struct given {
    const char *name;
    const char *value; /* `${…}` filled in */
    const char *origin;
    bool secret;
    bool from_file;
};

/* "ORIGIN: NAME = VALUE: …", the value only when it may be seen. */
static bool wrap_value(struct err *err, const struct given *given)
{
    char shown[CONFIG_SHOWN_SIZE];

    return err_wrap(err, "%s: %s = %s", given->origin, given->name,
                    given->secret ? "[hidden]" : config_value_shown(given->value, shown));
}

static bool set_row(struct config *config, const struct config_row *row, const char *alias,
                    const struct given *given, struct err *err)
{
    struct config_place *place = config_row_place(config, row);

    if (given->from_file && place->from_file) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: %s is set already, at %s%s%s: leave one of them out", given->origin,
                       given->name, place->origin,
                       strcmp(given->name, row->name) != 0 ? ", and is " : "",
                       strcmp(given->name, row->name) != 0 ? row->name : "");
    }
    if (!config_value_set(config, row, alias, given->value, err)) {
        return wrap_value(err, given);
    }
    /* One whose default is another setting's value is looked at in config_finish, when that is
     * known. */
    if (row->unbuilt && row->derived == NULL &&
        !config_value_is_default(row, alias, given->value)) {
        err_set(err, ERR_SETTINGS, 0, "is not built yet; %s%s",
                row->fallback != NULL ? "leave it at its default, " : "leave it out",
                row->fallback != NULL ? row->fallback : "");
        return wrap_value(err, given);
    }
    free(place->origin);
    free(place->value);
    *place = (struct config_place){
        .origin = mem_text(given->origin),
        .value = mem_text(given->value),
        .hidden = given->secret,
        .from_file = given->from_file,
    };
    return true;
}

/* Without the spaces around it; of the caller's. */
static char *trimmed(const char *text)
{
    size_t size;

    while (isspace((unsigned char)*text)) {
        text++;
    }
    size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1])) {
        size--;
    }
    return mem_print("%.*s", (int)size, text);
}

static bool set_expanded(struct config *config, const struct given *given, struct err *err)
{
    static const char KAFKA[] = "kafka.";
    const char *alias = NULL;
    const char *plain =
        strncmp(given->name, KAFKA, strlen(KAFKA)) == 0 ? given->name + strlen(KAFKA) : given->name;
    const struct config_row *row = config_row_find(plain, &alias);

    if (row != NULL) {
        return set_row(config, row, alias, given, err);
    }
    if (!config_client_set(config, given->name, given->value, given->secret, given->from_file,
                           given->origin, err)) {
        return err_wrap(err, "%s", given->origin);
    }
    return true;
}

static bool set(struct config *config, const char *name, const char *value, const char *origin,
                bool from_file, struct err *err)
{
    char *own_name = trimmed(name);
    char *own_value = trimmed(value);
    char *expanded = NULL;
    struct given given = {.name = own_name, .origin = origin, .from_file = from_file};
    char shown[CONFIG_SHOWN_SIZE];
    bool done;

    if (*own_name == '\0') {
        done = err_set(err, ERR_SETTINGS, 0, "%s: there is no name before the '='", origin);
    } else if (!config_expand(own_value, &expanded, &given.secret, err)) {
        done = err_wrap(err, "%s: %s", origin, config_value_shown(own_name, shown));
    } else {
        given.value = expanded;
        done = set_expanded(config, &given, err);
    }
    free(own_name);
    free(own_value);
    free(expanded);
    return done;
}

bool config_set(struct config *config, const char *name, const char *value, const char *origin,
                struct err *err)
{
    return set(config, name, value, origin, false, err);
}

struct file_reading {
    struct config *config;
    const char *file;
};

static bool set_line(void *arg, const char *name, const char *value, int line, struct err *err)
{
    const struct file_reading *reading = arg;
    char *origin = mem_print("%s:%d", reading->file, line);
    bool done = set(reading->config, name, value, origin, true, err);

    free(origin);
    return done;
}

bool config_read_text(struct config *config, const char *name, const char *text, size_t size,
                      struct err *err)
{
    struct file_reading reading = {.config = config, .file = name};

    return config_read_lines(name, text, size, set_line, &reading, err);
}

bool config_read_file(struct config *config, const char *path, struct err *err)
{
    char *text;
    size_t size;
    bool done;

    if (!config_read_content(path, &text, &size, err)) {
        return false;
    }
    done = config_read_text(config, path, text, size, err);
    free(text);
    return done;
}

int64_t config_cap_of(const struct config *config, const char *topic, int32_t partition)
{
    int64_t cap = 0;

    for (size_t i = 0; i < config->cap_count; i++) {
        const struct config_cap *item = &config->caps[i];

        if (item->topic == NULL) {
            cap = item->records_per_s;
        } else if (item->partition == partition && strcmp(item->topic, topic) == 0) {
            return item->records_per_s > 0 ? item->records_per_s : 0;
        }
    }
    return cap > 0 ? cap : 0;
}

char *config_topic_name(const char *pattern, const char *topic)
{
    static const char TOPIC[] = "{topic}";
    char *name = mem_text(pattern);
    size_t from = 0;
    char *found;

    while ((found = strstr(name + from, TOPIC)) != NULL) {
        size_t before = (size_t)(found - name);
        char *longer = mem_print("%.*s%s%s", (int)before, name, topic, found + strlen(TOPIC));

        free(name);
        name = longer;
        from = before + strlen(topic);
    }
    return name;
}
