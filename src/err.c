/* Errors and the one table that says what each kind means. */
#include "err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 64,
    EXIT_LEDGER = 65,
    EXIT_TEMPORARY = 75,
    EXIT_DECISION = 77,
    EXIT_SETTINGS = 78,
};

static const struct {
    const char *name;
    enum err_action action;
    int exit_code;
} KINDS[] = {
    [ERR_NONE] = {"none", ERR_RETRY, 0},
    [ERR_FAILED] = {"failed", ERR_STOP, EXIT_FAILED},
    [ERR_USAGE] = {"usage", ERR_STOP, EXIT_USAGE},
    [ERR_SETTINGS] = {"settings", ERR_STOP, EXIT_SETTINGS},
    [ERR_LEDGER] = {"ledger", ERR_STOP, EXIT_LEDGER},
    [ERR_LEDGER_FULL] = {"ledger full", ERR_PAUSE, EXIT_TEMPORARY},
    [ERR_LOCKED] = {"locked", ERR_STOP, EXIT_TEMPORARY},
    [ERR_TEMPORARY] = {"temporary", ERR_RETRY, EXIT_TEMPORARY},
    [ERR_PRODUCER] = {"producer", ERR_REPLACE, EXIT_TEMPORARY},
    [ERR_CONTENT] = {"content", ERR_SET_ASIDE, EXIT_DECISION},
    [ERR_DECISION] = {"decision", ERR_STOP, EXIT_DECISION},
    [ERR_STOPPED] = {"stopped", ERR_STOP, 0},
    [ERR_FORCED] = {"forced", ERR_STOP, EXIT_TEMPORARY},
};

__attribute__((format(printf, 4, 0))) static void set(struct err *err, enum err_kind kind,
                                                      int cause, const char *format, va_list args)
{
    err->kind = kind;
    err->cause = cause;
    vsnprintf(err->text, sizeof(err->text), format, args);
}

bool err_set(struct err *err, enum err_kind kind, int cause, const char *format, ...)
{
    va_list args;

    assert(kind != ERR_NONE);
    va_start(args, format);
    set(err, kind, cause, format, args);
    va_end(args);
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    char words[ERR_TEXT_MAX];
    va_list args;

    assert(err->kind != ERR_NONE);
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    memcpy(text, err->text, sizeof(text));
    /* A text that no longer fits loses its end: the words of the outermost caller tell most. */
    if (snprintf(err->text, sizeof(err->text), "%s: %s", words, text) < 0) {
        err->text[0] = '\0';
    }
    return false;
}

enum err_action err_action(enum err_kind kind)
{
    return KINDS[kind].action;
}

int err_exit_code(enum err_kind kind)
{
    return KINDS[kind].exit_code;
}

const char *err_kind_name(enum err_kind kind)
{
    return KINDS[kind].name;
}
