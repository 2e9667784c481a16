/* Finding a setting's row, and what was set in it. */
#include "config_table.h"

#include <assert.h>
#include <string.h>

const struct config_row *config_row_find(const char *name, const char **alias_out)
{
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        const struct config_row *row = &CONFIG_ROWS[i];

        if (strcmp(row->name, name) == 0) {
            *alias_out = NULL;
            return row;
        }
        for (size_t a = 0; a < CONFIG_ALIASES_MAX && row->aliases[a] != NULL; a++) {
            if (strcmp(row->aliases[a], name) == 0) {
                *alias_out = row->aliases[a];
                return row;
            }
        }
    }
    return NULL;
}

const struct config_row *config_row(const char *name)
{
    const char *alias;
    const struct config_row *row = config_row_find(name, &alias);

    assert(row != NULL);
    assert(alias == NULL);
    return row;
}

struct config_place *config_row_place(const struct config *config, const struct config_row *row)
{
    return &config->places[row - CONFIG_ROWS];
}

bool config_row_is_set(const struct config *config, const char *name)
{
    return config_row_place(config, config_row(name))->origin != NULL;
}

const char *config_row_default(const struct config_row *row)
{
    if (row->fallback != NULL) {
        return row->fallback;
    }
    return row->derived != NULL ? row->derived : "";
}
