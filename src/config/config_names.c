/* librdkafka's names of settings. The library prints a table of its settings for people, `name |
 * C/P | …`, in which an alias says ``Alias for `NAME` ``; it is read here, so that no list of ours
 * can grow old. */
#include "config_names.h"

#include "config_table.h"
#include "mem.h"

#include <librdkafka/rdkafka.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISTANCE_NAME_MAX = 120 };

struct name {
    char *name;
    char *canonical;
    enum config_client client;
};

struct config_names {
    struct name *items;
    size_t count;
};

static char *canonical_of(const char *line, const char *name)
{
    static const char ALIAS[] = "Alias for `";
    const char *begin = strstr(line, ALIAS);

    if (begin == NULL) {
        return mem_text(name);
    }
    begin += strlen(ALIAS);
    return mem_print("%.*s", (int)strcspn(begin, "`"), begin);
}

/* A line of the table: `name | C | …`. Headings and rules have no such second column. */
static void add_line(struct config_names *names, const char *line)
{
    size_t size = strcspn(line, " |");
    const char *bar = strchr(line, '|');
    const char *side;
    struct name *item;

    if (size == 0 || bar == NULL) {
        return;
    }
    side = bar + 1 + strspn(bar + 1, " ");
    if (strchr("*CP", *side) == NULL || *side == '\0' || side[1] != ' ') {
        return;
    }
    names->items = mem_grow(names->items, names->count + 1, sizeof(*names->items));
    item = &names->items[names->count++];
    item->name = mem_print("%.*s", (int)size, line);
    item->canonical = canonical_of(line, item->name);
    item->client = *side == 'C' ? CONFIG_CONSUMER : *side == 'P' ? CONFIG_PRODUCER : CONFIG_BOTH;
}

struct config_names *config_names_new(void)
{
    struct config_names *names = mem_zero(sizeof(*names));
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    char *rest;

    if (stream == NULL) {
        return names; /* no memory for a list that only helps to find typing errors */
    }
    rd_kafka_conf_properties_show(stream);
    fclose(stream);
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        add_line(names, line);
    }
    free(text);
    return names;
}

void config_names_free(struct config_names *names)
{
    if (names == NULL) {
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].name);
        free(names->items[i].canonical);
    }
    free(names->items);
    free(names);
}

static const struct name *find(const struct config_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].name, name) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

const char *config_names_canonical(const struct config_names *names, const char *name)
{
    const struct name *item = find(names, name);

    return item != NULL ? item->canonical : name;
}

enum config_client config_names_client(const struct config_names *names, const char *name)
{
    const struct name *item = find(names, name);

    return item != NULL ? item->client : CONFIG_BOTH;
}

/* ---- the nearest name ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, one row of it at a time. Both are at most DISTANCE_NAME_MAX bytes
 * long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[DISTANCE_NAME_MAX + 1];
    size_t width = strlen(b);

    assert(width <= DISTANCE_NAME_MAX);
    for (size_t j = 0; j <= width; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t change = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            row[j + 1] = least(change, least(row[j], row[j + 1]) + 1);
        }
    }
    return row[width];
}

static void try_name(const char *wanted, const char *name, const char **best, size_t *best_distance)
{
    size_t away;

    if (strlen(name) > DISTANCE_NAME_MAX) {
        return;
    }
    away = distance(wanted, name);
    if (away < *best_distance) {
        *best = name;
        *best_distance = away;
    }
}

const char *config_names_nearest(const struct config_names *names, const char *name)
{
    size_t size = strlen(name);
    size_t best_distance = (size > 9 ? size / 3 : 3) + 1; /* further away it is no typing error */
    const char *best = NULL;

    if (size > DISTANCE_NAME_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        try_name(name, CONFIG_ROWS[i].name, &best, &best_distance);
        for (size_t a = 0; a < CONFIG_ALIASES_MAX && CONFIG_ROWS[i].aliases[a] != NULL; a++) {
            try_name(name, CONFIG_ROWS[i].aliases[a], &best, &best_distance);
        }
    }
    for (size_t i = 0; i < names->count; i++) {
        try_name(name, names->items[i].name, &best, &best_distance);
    }
    return best;
}
