/* `${env:NAME}` and `${file:PATH}`. A reference ends at the brace that closes it; one reference may
 * stand inside a file's path. */
#include "config_expand.h"

#include "config_value.h"
#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ENV[] = "${env:";
static const char FILE_REFERENCE[] = "${file:";

/* The brace that closes what begins at `reference`; NULL when there is none. */
static const char *closing(const char *reference)
{
    size_t depth = 0;

    for (const char *at = reference; *at != '\0'; at++) {
        if (at[0] == '$' && at[1] == '{') {
            depth++;
            at++;
        } else if (*at == '}' && --depth == 0) {
            return at;
        }
    }
    return NULL;
}

/* Replaces [begin, end] in *text by `by`. */
static void replace(char **text, const char *begin, const char *end, const char *by)
{
    char *replaced = mem_print("%.*s%s%s", (int)(begin - *text), *text, by, end + 1);

    free(*text);
    *text = replaced;
}

static bool read_content(FILE *file, const char *path, char *content, size_t *size_out,
                         struct err *err)
{
    size_t size = fread(content, 1, CONFIG_EXPAND_BYTES_MAX, file);

    if (ferror(file)) {
        return err_set(err, ERR_SETTINGS, errno, "can't read '%s': %s", path, strerror(errno));
    }
    if (size == CONFIG_EXPAND_BYTES_MAX) {
        return err_set(err, ERR_SETTINGS, 0, "'%s' is too large for a value (%d bytes at most)",
                       path, CONFIG_EXPAND_BYTES_MAX - 1);
    }
    if (memchr(content, '\0', size) != NULL) {
        return err_set(err, ERR_SETTINGS, 0, "'%s' has a zero byte in it: it isn't text", path);
    }
    *size_out = size;
    return true;
}

static bool read_file(const char *path, char **content_out, struct err *err)
{
    FILE *file = fopen(path, "re");
    char *content;
    size_t size = 0;
    bool done;

    if (file == NULL) {
        return err_set(err, ERR_SETTINGS, errno, "can't open '%s': %s", path, strerror(errno));
    }
    content = mem_zero(CONFIG_EXPAND_BYTES_MAX + 1);
    done = read_content(file, path, content, &size, err);
    fclose(file);
    if (!done) {
        free(content);
        return false;
    }
    while (size > 0 && (content[size - 1] == '\n' || content[size - 1] == '\r')) {
        content[--size] = '\0';
    }
    *content_out = content;
    return true;
}

static bool expand_env(char **text, struct err *err)
{
    for (size_t from = 0;;) {
        char shown[CONFIG_SHOWN_SIZE];
        const char *begin = strstr(*text + from, ENV);
        const char *end;
        const char *value;
        char *name;

        if (begin == NULL) {
            return true;
        }
        end = strchr(begin, '}');
        if (end == NULL) {
            return err_set(err, ERR_SETTINGS, 0, "the '}' that ends ${env:NAME} is missing");
        }
        name = mem_print("%.*s", (int)(end - begin) - (int)strlen(ENV), begin + strlen(ENV));
        value = getenv(name);
        if (value == NULL) {
            err_set(err, ERR_SETTINGS, 0, "the environment has no variable '%s'",
                    config_value_shown(name, shown));
            free(name);
            return false;
        }
        free(name);
        from = (size_t)(begin - *text) + strlen(value);
        replace(text, begin, end, value);
        if (strlen(*text) > CONFIG_EXPAND_BYTES_MAX) {
            return err_set(err, ERR_SETTINGS, 0,
                           "the value is too long with its ${env:...} filled in");
        }
    }
}

/* What an environment variable or a file brought in isn't looked at again: `raw` is the value as it
 * was written. */
static bool check_references(const char *raw, struct err *err)
{
    for (const char *at = strstr(raw, "${"); at != NULL; at = strstr(at + 2, "${")) {
        if (strncmp(at, ENV, strlen(ENV)) != 0 &&
            strncmp(at, FILE_REFERENCE, strlen(FILE_REFERENCE)) != 0) {
            return err_set(err, ERR_SETTINGS, 0,
                           "only ${file:PATH} and ${env:NAME} are known after '${'; a value that "
                           "holds '${' itself can "
                           "be read from a file");
        }
        if (closing(at) == NULL) {
            return err_set(err, ERR_SETTINGS, 0, "the '}' that ends ${...} is missing");
        }
    }
    return true;
}

/* One `${file:…}`, its path's ${env:…} filled in first. */
static bool expand_file(const char *begin, const char *end, char **content_out, struct err *err)
{
    size_t prefix = strlen(FILE_REFERENCE);
    char *path = mem_print("%.*s", (int)(end - begin) - (int)prefix, begin + prefix);
    bool done;

    if (strstr(path, FILE_REFERENCE) != NULL) {
        done = err_set(err, ERR_SETTINGS, 0, "a ${file:...} inside another isn't understood");
    } else {
        done = expand_env(&path, err) && read_file(path, content_out, err);
    }
    free(path);
    return done;
}

bool config_expand(const char *value, char **expanded_out, bool *secret_out, struct err *err)
{
    char *text = mem_text("");
    const char *at = value;
    bool secret = false;

    if (!check_references(value, err)) {
        goto refused;
    }
    while (*at != '\0') {
        const char *begin = strstr(at, "${");
        const char *end = begin == NULL ? NULL : closing(begin);
        char *piece = NULL;
        char *joined;

        if (begin == NULL || begin > at) {
            piece = begin == NULL ? mem_text(at) : mem_print("%.*s", (int)(begin - at), at);
            at = begin == NULL ? at + strlen(at) : begin;
        } else if (strncmp(begin, FILE_REFERENCE, strlen(FILE_REFERENCE)) == 0) {
            if (!expand_file(begin, end, &piece, err)) {
                goto refused;
            }
            secret = true;
            at = end + 1;
        } else {
            piece = mem_print("%.*s", (int)(end - begin) + 1, begin);
            if (!expand_env(&piece, err)) {
                free(piece);
                goto refused;
            }
            at = end + 1;
        }
        joined = mem_print("%s%s", text, piece);
        free(piece);
        free(text);
        text = joined;
    }
    *expanded_out = text;
    *secret_out = secret;
    return true;

refused:
    free(text);
    return false;
}
