/* `${env:NAME}` and `${file:PATH}` in a setting's value. Main thread. */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "err.h"

enum { CONFIG_EXPAND_BYTES_MAX = 65536 };

/* Fills in every reference; a file's path may hold `${env:…}` itself. What is filled in isn't
 * looked at again; of a file the line ends at its end are left out. The result is the caller's.
 * *secret_out: a file was read. */
MUST_CHECK bool config_expand(const char *value, char **expanded_out, bool *secret_out,
                              struct err *err);

#endif
