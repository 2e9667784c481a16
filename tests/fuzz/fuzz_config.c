/* Fuzzes a file of settings: parsed, finished, printed. Whatever the text is,
 *
 *   - it is accepted, or refused with one line that says something;
 *   - what was accepted and printed (--check) is accepted again and prints the same.
 *
 * By itself (libFuzzer): clang -fsanitize=fuzzer,address with the library's sources; in tests
 * tests/fuzz/replay.c runs the corpus. Texts that would make it open files or load libraries are
 * left out. */
#include "config.h"
#include "log.h"
#include "mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t NOW_MS = INT64_C(1800000000000);

/* NULL when it was refused. */
static struct config *read_config(const char *text, size_t size)
{
    struct config *config = config_new();
    struct err err = {0};

    if (config_read_text(config, "f", text, size, &err) && config_finish(config, NOW_MS, &err)) {
        return config;
    }
    assert(err.kind == ERR_SETTINGS);
    assert(strlen(err.text) > 10);
    config_free(config);
    return NULL;
}

/* As --check prints it, without the origins. */
static char *print_config(const struct config *config)
{
    char *text = NULL;
    char *bare = mem_text("");
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    char *rest;

    assert(stream != NULL);
    config_print(config, stream);
    fclose(stream);
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *origin = NULL;
        char *longer;

        for (char *found = strstr(line, "  # "); found != NULL; found = strstr(found + 1, "  # ")) {
            origin = found;
        }
        if (origin != NULL) {
            *origin = '\0';
        }
        longer = mem_print("%s%s\n", bare, line);
        free(bare);
        bare = longer;
    }
    free(text);
    return bare;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const OUTSIDE[] = {"${", "plugin", "debug"};
    struct config *config;
    struct config *again;
    char *text;
    char *text_again;

    for (size_t i = 0; i < sizeof(OUTSIDE) / sizeof(OUTSIDE[0]); i++) {
        if (memmem(data, size, OUTSIDE[i], strlen(OUTSIDE[i])) != NULL) {
            return 0;
        }
    }
    log_set_level(LOG_ERROR);
    config = read_config((const char *)data, size);
    if (config == NULL) {
        return 0;
    }
    text = print_config(config);
    config_free(config);
    if (strstr(text, "[hidden]") == NULL) {
        again = read_config(text, strlen(text));
        assert(again != NULL);
        text_again = print_config(again);
        config_free(again);
        assert(strcmp(text, text_again) == 0);
        free(text_again);
    }
    free(text);
    return 0;
}
