/* The log: lines on stderr, with journald's level prefix when stderr is the journal, else with a
 * UTC time stamp.
 *
 * A line has a level by consequence, one subject, values, and what happens next. Any thread. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/* Lines above this level are dropped. Before the first call: LOG_INFO. */
void log_set_level(enum log_level level);

/* One of error, warning, notice, info, debug; false for any other word. */
bool log_level_parse(const char *word, enum log_level *level_out);

/* stderr is the journal, so lines begin with <LEVEL>. Found out at the first call. */
bool log_to_journal(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

#endif
