/* Lines of text, as oncesink-simulate reads them: blank ones and those that begin with `#` are
 * passed by; words are separated by blanks or tabs; a line ends with LF, CR LF, or the input. The
 * memory taken is that of the longest line.
 *
 * Order: lines_init → lines_next … → lines_deinit. Errors are ERR_FAILED and begin with the place,
 * "line 7" or "NAME, line 7". One thread. */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { LINE_BYTES_MAX = 1 << 26 };

/* Where the bytes come from: as read(2) does, at most `size`, 0 at the end, −1 with errno. */
struct lines_source {
    ssize_t (*read)(void *arg, char *buffer, size_t size);
    void *arg;
};

struct lines {
    struct lines_source source;
    const char *name; /* of the input, for messages; NULL = standard input */
    char *buffer;
    size_t size, begin, end;
    int64_t number; /* of the line last given */
    bool ended;
};

/* read(2) of the file descriptor that `arg` points to. */
ssize_t lines_read_file(void *arg, char *buffer, size_t size);

void lines_init(struct lines *lines, struct lines_source source, const char *name);
void lines_deinit(struct lines *lines);

/* The next line that says something, without its end; it may be written to, and lives until the
 * next call. *line_out is NULL at the end of the input. */
MUST_CHECK bool lines_next(struct lines *lines, char **line_out, struct err *err);

/* An error at the line last given. Returns false. */
bool lines_refuse(const struct lines *lines, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The next word of a line, cut off from *rest; NULL when there is none left. */
char *lines_word(char **rest);

/* Numbers, decimal and whole: the entire text, or it isn't one. */
bool lines_integer(const char *text, int64_t *number_out);
/* Finite. */
bool lines_real(const char *text, double *number_out);

/* `N,N,…`: grows *numbers (of *size places, the caller frees it) as needed. *bad_out is the item
 * that is no number. */
bool lines_integers(char *text, int64_t **numbers, size_t *size, size_t *count_out,
                    const char **bad_out);

#endif
