/* Lines of text: read in blocks, cut at LF. A line that isn't whole yet moves to the front of the
 * buffer, which grows when the line fills it. A NUL byte is refused wherever it stands: the
 * input is no text then, and a line would end at it unseen. */
#include "lines.h"

#include "mem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1 << 16 };

ssize_t lines_read_file(void *arg, char *buffer, size_t size)
{
    const int *file = arg;
    ssize_t got;

    do {
        got = read(*file, buffer, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

void lines_init(struct lines *lines, struct lines_source source, const char *name)
{
    *lines = (struct lines){.source = source, .name = name, .size = BLOCK_SIZE};
    lines->buffer = mem_grow(NULL, lines->size, 1);
}

void lines_deinit(struct lines *lines)
{
    free(lines->buffer);
    *lines = (struct lines){0};
}

bool lines_refuse(const struct lines *lines, struct err *err, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return err_set(err, ERR_FAILED, 0, "%s%sline %" PRId64 ": %s",
                   lines->name != NULL ? lines->name : "", lines->name != NULL ? ", " : "",
                   lines->number, text);
}

/* More bytes behind those that are there; at the end of the input lines->ended is set. */
static bool fill(struct lines *lines, struct err *err)
{
    ssize_t got;

    if (lines->begin > 0) {
        memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    if (lines->size - lines->end <= BLOCK_SIZE / 2) {
        if (lines->size > LINE_BYTES_MAX) {
            lines->number++;
            return lines_refuse(lines, err, "longer than %d bytes", LINE_BYTES_MAX);
        }
        lines->size *= 2;
        lines->buffer = mem_grow(lines->buffer, lines->size, 1);
    }
    /* One byte stays free for the end of a last line without LF. */
    got = lines->source.read(lines->source.arg, lines->buffer + lines->end,
                             lines->size - lines->end - 1);
    if (got < 0) {
        return err_set(err, ERR_FAILED, errno, "cannot read %s: %s",
                       lines->name != NULL ? lines->name : "standard input", strerror(errno));
    }
    lines->ended = got == 0;
    lines->end += (size_t)got;
    return true;
}

/* The next line, whatever it says; *line_out is NULL at the end. */
static bool take_line(struct lines *lines, char **line_out, struct err *err)
{
    size_t looked = 0; /* bytes of the line without an LF in them */

    for (;;) {
        char *begin = lines->buffer + lines->begin;
        size_t there = lines->end - lines->begin;
        char *end = memchr(begin + looked, '\n', there - looked);

        if (end == NULL && lines->ended) {
            if (there == 0) {
                *line_out = NULL;
                return true;
            }
            end = begin + there;
        }
        if (end != NULL) {
            size_t length = (size_t)(end - begin);

            lines->begin += length < there ? length + 1 : length;
            lines->number++;
            if (memchr(begin, '\0', length) != NULL) {
                return lines_refuse(lines, err, "a NUL byte: this is no text");
            }
            if (length > 0 && begin[length - 1] == '\r') {
                length--;
            }
            begin[length] = '\0';
            *line_out = begin;
            return true;
        }
        looked = there;
        if (!fill(lines, err)) {
            return false;
        }
    }
}

bool lines_next(struct lines *lines, char **line_out, struct err *err)
{
    static const char BOM[] = "\xef\xbb\xbf";
    char *line = NULL;

    for (;;) {
        if (!take_line(lines, &line, err)) {
            return false;
        }
        if (line == NULL) {
            *line_out = NULL;
            return true;
        }
        if (lines->number == 1 && strncmp(line, BOM, strlen(BOM)) == 0) {
            line += strlen(BOM);
        }
        line += strspn(line, " \t");
        if (*line != '\0' && *line != '#') {
            *line_out = line;
            return true;
        }
    }
}

char *lines_word(char **rest)
{
    char *word;

    *rest += strspn(*rest, " \t");
    if (**rest == '\0') {
        return NULL;
    }
    word = *rest;
    *rest += strcspn(*rest, " \t");
    if (**rest != '\0') {
        *(*rest)++ = '\0';
    }
    return word;
}

/* ---- numbers ---- */

bool lines_integer(const char *text, int64_t *number_out)
{
    bool negative = *text == '-';
    int64_t number = 0;

    text += negative || *text == '+';
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        int digit = *text - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            (negative ? __builtin_sub_overflow(number, digit, &number)
                      : __builtin_add_overflow(number, digit, &number))) {
            return false;
        }
    }
    *number_out = number;
    return true;
}

bool lines_real(const char *text, double *number_out)
{
    char *end;
    double number;

    /* strtod also knows hexadecimal, infinity and NaN. */
    if (*text == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0') {
        return false;
    }
    number = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(number)) {
        return false;
    }
    *number_out = number;
    return true;
}

bool lines_integers(char *text, int64_t **numbers, size_t *size, size_t *count_out,
                    const char **bad_out)
{
    size_t count = 0;

    for (char *item; (item = strsep(&text, ",")) != NULL;) {
        if (count == *size) {
            *size = *size == 0 ? 64 : *size * 2;
            *numbers = mem_grow(*numbers, *size, sizeof(**numbers));
        }
        if (!lines_integer(item, &(*numbers)[count++])) {
            *bad_out = item;
            return false;
        }
    }
    *count_out = count;
    return true;
}
