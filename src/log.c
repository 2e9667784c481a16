/* The log. A line is put together first and written by one write(), so that threads don't mix their
 * lines. */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096 };

static atomic_int level_max = LOG_INFO;

static const struct {
    const char *word;
    enum log_level level;
} WORDS[] = {
    {"error", LOG_ERROR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
    {"info", LOG_INFO},   {"debug", LOG_DEBUG},
};
enum { WORD_COUNT = sizeof(WORDS) / sizeof(WORDS[0]) };

void log_set_level(enum log_level level)
{
    level_max = (int)level;
}

bool log_level_parse(const char *word, enum log_level *level_out)
{
    for (size_t i = 0; i < WORD_COUNT; i++) {
        if (strcmp(word, WORDS[i].word) == 0) {
            *level_out = WORDS[i].level;
            return true;
        }
    }
    return false;
}

static const char *word_of(enum log_level level)
{
    for (size_t i = 0; i < WORD_COUNT; i++) {
        if (level == WORDS[i].level) {
            return WORDS[i].word;
        }
    }
    return "?";
}

/* JOURNAL_STREAM names the journal's end of a stream by device and inode. The environment is handed
 * down, to terminals too: it counts only when stderr is that stream. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat stderr_is;
    char ours[64];

    if (stream == NULL || fstat(STDERR_FILENO, &stderr_is) != 0) {
        return false;
    }
    snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)stderr_is.st_dev,
             (uintmax_t)stderr_is.st_ino);
    return strcmp(stream, ours) == 0;
}

static pthread_once_t journal_asked = PTHREAD_ONCE_INIT;
static bool journal;

static void ask_journal(void)
{
    journal = is_journal();
}

bool log_to_journal(void)
{
    pthread_once(&journal_asked, ask_journal);
    return journal;
}

static size_t line_begin(char *line, size_t size, enum log_level level)
{
    struct timeval now;
    struct tm utc;
    int written;

    if (log_to_journal()) {
        written = snprintf(line, size, "<%d>", (int)level);
    } else {
        char stamp[32];

        gettimeofday(&now, NULL);
        gmtime_r(&now.tv_sec, &utc);
        strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
        written =
            snprintf(line, size, "%s.%03dZ %s: ", stamp, (int)(now.tv_usec / 1000), word_of(level));
    }
    return written > 0 ? (size_t)written : 0;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    size_t used;
    int written;
    va_list args;

    if ((int)level > level_max) {
        return;
    }
    used = line_begin(line, sizeof(line), level);
    va_start(args, format);
    written = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (written > 0) {
        used += (size_t)written;
    }
    if (used > sizeof(line) - 2) {
        used = sizeof(line) - 2;
    }
    for (size_t i = 0; i < used; i++) {
        if (line[i] == '\n') {
            line[i] = ' ';
        }
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0) {
        return; /* a log that can't be written must not stop the work */
    }
}
