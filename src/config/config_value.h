/* A setting's value: text in, the field of struct config out, by the row's type. Main thread. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config_table.h"

enum { CONFIG_SHOWN_SIZE = 100 };

/* Checks `text` against the row and stores it in its place; a row without one only checks. `alias`:
 * the alias by which it was set, or NULL. The error says what the value must be and doesn't contain
 * it. */
MUST_CHECK bool config_value_set(struct config *config, const struct config_row *row,
                                 const char *alias, const char *text, struct err *err);

/* The row has a default as text, and `text` (valid for the row) means the same. */
bool config_value_is_default(const struct config_row *row, const char *alias, const char *text);

/* The value in force, as it may stand in a file of settings; of the caller's. NULL when there is
 * none, or none yet. */
char *config_value_text(const struct config *config, const struct config_row *row);

/* `text` as it may stand in a message: cut where it is long, what can't be printed replaced.
 * Returns `shown`. */
const char *config_value_shown(const char *text, char shown[CONFIG_SHOWN_SIZE]);

#endif
