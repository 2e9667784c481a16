/* Numbers of settings: counts, times, bytes, reals, switches and words, from text and into their
 * field. Pure; any thread. */
#ifndef CONFIG_NUMBER_H
#define CONFIG_NUMBER_H

#include "config_table.h"

struct config_number {
    int64_t integer;
    double real; /* CONFIG_TYPE_REAL */
};

/* The type's values are numbers in this sense. */
bool config_number_is(enum config_type type);

/* `alias`: by which the row was set, or NULL. The error says what the value must be and doesn't
 * contain it. */
MUST_CHECK bool config_number_read(const struct config_row *row, const char *alias,
                                   const char *text, struct config_number *number_out,
                                   struct err *err);

/* Into, and out of, the row's field of struct config. */
void config_number_store(const struct config_row *row, struct config_number number, void *place);
struct config_number config_number_load(const struct config_row *row, const void *place);

/* A CONFIG_TYPE_REAL's value in the fewest digits that read back as the same number; of the
 * caller's. */
char *config_number_real_text(double real);

/* The word of a CONFIG_TYPE_WORD or _BOOL. */
const char *config_number_word(const struct config_row *row, struct config_number number);

#endif
