/* Errors: what a call that failed tells its caller.
 *
 * A call that can fail returns bool, is marked MUST_CHECK and fills a `struct err`; on success it
 * leaves it alone. What a kind of error means (go on, retry, stop, with which exit code) is said
 * once, in the table in err.c. Any thread; a struct err belongs to its caller. */
#ifndef ERR_H
#define ERR_H

#include <stdbool.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err_kind {
    ERR_NONE,
    ERR_FAILED,   /* a defect, or something no other kind describes */
    ERR_USAGE,    /* the command line */
    ERR_SETTINGS, /* a setting, or a log-in that can't work at start */
    /* the ledger is damaged, not a ledger, newer than we, or answers with an I/O error */
    ERR_LEDGER,
    ERR_LEDGER_FULL, /* no room on the disk: pause and try again */
    ERR_LOCKED,      /* another process owns the ledger */
    ERR_TEMPORARY,   /* a broker is away, slow or not yet ready: try again */
    ERR_PRODUCER,    /* the outcome of records handed to the producer is unknown: replace it (R2) */
    ERR_CONTENT,     /* one record was refused for what it is */
    /* fenced, stale, data lost: a person has to decide; never start again by itself */
    ERR_DECISION,
    ERR_STOPPED, /* asked to stop while waiting */
    ERR_FORCED,  /* stopped in mid-batch: forced, or by the watchdog */
};

enum err_action { ERR_RETRY, ERR_PAUSE, ERR_REPLACE, ERR_SET_ASIDE, ERR_STOP };

enum { ERR_TEXT_MAX = 1024 };

struct err {
    enum err_kind kind;
    /* errno, an SQLite or a librdkafka code: which one follows from who set it; 0 = none */
    int cause;
    char text[ERR_TEXT_MAX];
};

/* Fills `err` and returns false, so that `return err_set(…)` reads well. A text too long is cut at
 * its end. */
bool err_set(struct err *err, enum err_kind kind, int cause, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts words of the caller before the text: "words: text". Returns false. */
bool err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum err_action err_action(enum err_kind kind);

/* The exit code of a process that ends with this error (design: one table for all programs). */
int err_exit_code(enum err_kind kind);

const char *err_kind_name(enum err_kind kind);

#endif
