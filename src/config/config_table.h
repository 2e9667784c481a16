/* The table of settings: one row a setting (design: name, type, place, default, range, unit, help,
 * aliases, built or not). Whatever lists settings (--help, --check, the checks) goes through it.
 * Main thread. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include "config.h"

enum config_type {
    CONFIG_TYPE_TEXT,    /* char *; at most `max` bytes */
    CONFIG_TYPE_JOB,     /* char *; safe as a file's and a group's name */
    CONFIG_TYPE_PATTERN, /* char *; a topic's name with {topic} in it */
    CONFIG_TYPE_TOPICS,  /* struct config_list */
    CONFIG_TYPE_COUNT,   /* int64_t */
    CONFIG_TYPE_MS,      /* int64_t; 10s, 5m, 1h, 1d are understood too */
    CONFIG_TYPE_BYTES,   /* int64_t; 64MiB, 1g, … are understood too */
    CONFIG_TYPE_REAL,    /* double; finite, not negative */
    CONFIG_TYPE_BOOL,    /* bool */
    CONFIG_TYPE_WORD,    /* an enum or int: one of `words` */
    CONFIG_TYPE_START,   /* start, start_ms, start_before_ms */
    CONFIG_TYPE_CAPS,    /* caps, cap_count */
};

enum { CONFIG_ALIASES_MAX = 2, CONFIG_NOWHERE = -1 };

struct config_word {
    const char *word; /* NULL ends the list */
    int value;
    const char *alias; /* this word is for that alias only, which knows no others */
    bool unbuilt;
};

struct config_row {
    const char *name;
    enum config_type type;
    int place;            /* offset in struct config, CONFIG_NOWHERE where no code uses it yet */
    size_t size;          /* of the field there */
    const char *fallback; /* the default as text; NULL = derived, or none */
    const char *derived;  /* the default in words where it comes from other settings */
    int64_t min, max;     /* of whole numbers; `max` of texts in bytes */
    double real_min, real_max; /* of CONFIG_TYPE_REAL; real_max 0 = none */
    bool real_above_min;       /* real_min itself is refused */
    const char *unit;          /* of counts, for people */
    const struct config_word *words;
    const char *aliases[CONFIG_ALIASES_MAX];
    const char *help;
    bool unbuilt; /* refused when set to anything but its default */
};

/* Where a row's value came from. */
struct config_place {
    char *origin; /* NULL = default */
    char *value;  /* as in force, `${…}` resolved; NULL = default */
    bool hidden;
    bool from_file;
};

extern const struct config_row CONFIG_ROWS[];
extern const size_t CONFIG_ROW_COUNT;

/* By name or alias; NULL when it is neither. *alias_out: the alias used, or NULL. */
const struct config_row *config_row_find(const char *name, const char **alias_out);

/* The row's place in `config`. */
struct config_place *config_row_place(const struct config *config, const struct config_row *row);

/* The row of that very name (asserted to be there). */
const struct config_row *config_row(const char *name);

/* The user set it. */
bool config_row_is_set(const struct config *config, const char *name);

/* The user's words for the default: its text, or how it is derived; "" when there is none. */
const char *config_row_default(const struct config_row *row);

#endif
