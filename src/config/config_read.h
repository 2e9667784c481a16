/* A file of settings: `name = value` lines, `#` comments. Main thread. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "err.h"

#include <stddef.h>

enum { CONFIG_FILE_BYTES_MAX = 1 << 20, CONFIG_LINE_BYTES_MAX = 60000 };

/* For each line with a setting. false with `err` filled ends the reading. */
typedef bool (*config_read_found)(void *arg, const char *name, const char *value, int line,
                                  struct err *err);

/* The whole file, zero byte behind it; the caller frees it. */
MUST_CHECK bool config_read_content(const char *path, char **text_out, size_t *size_out,
                                    struct err *err);

/* `file` is named in messages. */
MUST_CHECK bool config_read_lines(const char *file, const char *text, size_t size,
                                  config_read_found found, void *arg, struct err *err);

#endif
