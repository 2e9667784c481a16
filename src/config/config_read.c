/* A file of settings, parsed by inih. inih gets one line at a time from next_line(), which refuses
 * what inih would silently make something else of: a line too long (cut), a zero byte (the rest
 * lost), a section (ignored), `name: value`; and takes the spaces before a name away, which inih
 * would take for a continued value. */
#include "config_read.h"

#include "config_value.h"
#include "mem.h"

#define INI_HANDLER_LINENO 1
#include <ini.h>

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BUFFER_SIZE = 65536 };
static_assert(CONFIG_LINE_BYTES_MAX + 3 < LINE_BUFFER_SIZE, "a line fits in one piece");

struct reading {
    const char *file;
    const char *at;
    const char *end;
    int line; /* the one that next_line gave last */
    config_read_found found;
    void *arg;
    struct err *err;
    bool failed; /* err is filled */
};

bool config_read_content(const char *path, char **text_out, size_t *size_out, struct err *err)
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t size;
    int cause = 0;

    if (file == NULL) {
        return err_set(err, ERR_SETTINGS, errno, "can't open '%s': %s", path, strerror(errno));
    }
    text = mem_zero(CONFIG_FILE_BYTES_MAX + 2);
    size = fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, file);
    if (ferror(file)) {
        cause = errno;
    }
    fclose(file);
    if (cause != 0) {
        free(text);
        return err_set(err, ERR_SETTINGS, cause, "can't read '%s': %s", path, strerror(cause));
    }
    if (size > CONFIG_FILE_BYTES_MAX) {
        free(text);
        return err_set(err, ERR_SETTINGS, 0,
                       "'%s' is larger than 1 MiB: it isn't a file of settings", path);
    }
    *text_out = text;
    *size_out = size;
    return true;
}

static bool refuse(struct reading *reading, const char *reason)
{
    reading->failed = true;
    return err_set(reading->err, ERR_SETTINGS, 0, "%s:%d: %s", reading->file, reading->line,
                   reason);
}

/* The line is a comment, blank, or `name = value`. */
static bool check_line(struct reading *reading, const char *line, size_t size)
{
    size_t name_size = 0;

    if (memchr(line, '\0', size) != NULL) {
        return refuse(reading, "a zero byte: this isn't a text file");
    }
    if (size > CONFIG_LINE_BYTES_MAX) {
        return refuse(
            reading,
            "the line is longer than 60000 bytes; ${file:PATH} takes a long value from a file");
    }
    if (size == 0 || *line == '#' || *line == ';') {
        return true;
    }
    if (*line == '[') {
        return refuse(reading,
                      "sections such as [this] aren't used: every setting has its full name");
    }
    while (name_size < size && line[name_size] != '=' && line[name_size] != ':') {
        name_size++;
    }
    if (name_size == size || line[name_size] != '=') {
        return refuse(reading, "a setting is written as name = value");
    }
    if (name_size == 0) {
        return refuse(reading, "there is no name before the '='");
    }
    return true;
}

/* inih's reader: one line into `buffer`, with its end; NULL at the end of the text, and after a
 * refusal. */
static char *next_line(char *buffer, int buffer_size, void *arg)
{
    struct reading *reading = arg;
    const char *begin = reading->at;
    const char *end;

    if (reading->failed || begin == reading->end) {
        return NULL;
    }
    end = memchr(begin, '\n', (size_t)(reading->end - begin));
    if (end == NULL) {
        end = reading->end;
    }
    reading->at = end < reading->end ? end + 1 : end;
    reading->line++;
    while (begin < end && isspace((unsigned char)*begin)) {
        begin++;
    }
    if (!check_line(reading, begin, (size_t)(end - begin))) {
        return NULL;
    }
    assert(end - begin + 2 <= buffer_size);
    memcpy(buffer, begin, (size_t)(end - begin));
    buffer[end - begin] = '\n';
    buffer[end - begin + 1] = '\0';
    return buffer;
}

static int take_setting(void *arg, const char *section, const char *name, const char *value,
                        int line)
{
    struct reading *reading = arg;

    (void)section;
    if (reading->failed) {
        return 0;
    }
    reading->failed = !reading->found(reading->arg, name, value, line, reading->err);
    return reading->failed ? 0 : 1;
}

bool config_read_lines(const char *file, const char *text, size_t size, config_read_found found,
                       void *arg, struct err *err)
{
    static const char BOM[] = "\xef\xbb\xbf";
    struct reading reading = {
        .file = file, .at = text, .end = text + size, .found = found, .arg = arg, .err = err};
    int stopped;

    if (size >= strlen(BOM) && memcmp(text, BOM, strlen(BOM)) == 0) {
        reading.at += strlen(BOM);
    }
    ini_use_stack = false;
    ini_allow_realloc = true;
    ini_max_line = LINE_BUFFER_SIZE;
    ini_initial_alloc = LINE_BUFFER_SIZE;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = true;
    stopped = ini_parse_stream(next_line, &reading, take_setting, &reading);
    if (reading.failed) {
        return false;
    }
    if (stopped != 0) {
        reading.line = stopped > 0 ? stopped : reading.line;
        return refuse(&reading, "a setting is written as name = value");
    }
    return true;
}
