/* What the tests of settings share: a config from a text, and refusals by their words. */
#ifndef CONFIG_CASE_H
#define CONFIG_CASE_H

#include "config.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFIG_CASE_BASE "job.name = j\nbootstrap.servers = localhost:9092\ninput.topics = in\n"

static const int64_t CONFIG_CASE_NOW_MS = INT64_C(1800000000000);

/* The base's settings and those of `text` (lines from 4 on), finished. The error's text, or NULL
 * and *config_out. */
static inline char *config_case_try(const char *text, struct config **config_out)
{
    char *whole = mem_print("%s%s", CONFIG_CASE_BASE, text);
    struct config *config = config_new();
    struct err err = {0};
    bool done = config_read_text(config, "f.conf", whole, strlen(whole), &err) &&
                config_finish(config, CONFIG_CASE_NOW_MS, &err);

    free(whole);
    if (done) {
        assert_int_equal(err.kind, ERR_NONE);
        *config_out = config;
        return NULL;
    }
    assert_int_equal(err.kind, ERR_SETTINGS);
    config_free(config);
    return mem_text(err.text);
}

static inline struct config *config_case_good(const char *text)
{
    struct config *config = NULL;
    char *error = config_case_try(text, &config);

    if (error != NULL) {
        fail_msg("'%s' was refused: %s", text, error);
    }
    return config;
}

/* `text` is refused with words that hold each of the NULL-ended list. */
static inline void config_case_bad(const char *text, ...)
{
    struct config *config = NULL;
    char *error = config_case_try(text, &config);
    va_list words;
    const char *word;

    if (error == NULL) {
        fail_msg("'%s' was accepted", text);
    }
    va_start(words, text);
    while ((word = va_arg(words, const char *)) != NULL) {
        if (strstr(error, word) == NULL) {
            fail_msg("'%s': no '%s' in: %s", text, word, error);
        }
    }
    va_end(words);
    free(error);
}

/* What config_finish says on stderr while `text` is taken; of the caller's. */
static inline char *config_case_warnings(const char *text)
{
    char *said = mem_zero(4096);
    int file = memfd_create("stderr", 0);
    int kept = dup(STDERR_FILENO);
    ssize_t size;

    assert_true(file >= 0 && kept >= 0);
    dup2(file, STDERR_FILENO);
    config_free(config_case_good(text));
    dup2(kept, STDERR_FILENO);
    size = pread(file, said, 4095, 0);
    assert_true(size >= 0);
    close(file);
    close(kept);
    return said;
}

static inline char *config_case_printed(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    config_print(config, stream);
    fclose(stream);
    return text;
}

#endif
