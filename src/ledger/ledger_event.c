/* Events: what happened beside the batches, in words for people. */
#include "ledger_internal.h"

#include <stdarg.h>
#include <stdio.h>

enum { EVENT_TEXT_MAX = 1024 };

static const char *const KIND[] = {
    [EVENT_START] = "start",     [EVENT_STOP] = "stop",         [EVENT_RECOVERY] = "recovery",
    [EVENT_REFUSAL] = "refusal", [EVENT_DOUBLE] = "double",     [EVENT_GAP] = "gap",
    [EVENT_TOPIC] = "topic",     [EVENT_TICKS] = "ticks",       [EVENT_BAD_RECORD] = "bad-record",
    [EVENT_MARK] = "mark",       [EVENT_PRODUCER] = "producer", [EVENT_OPERATOR] = "operator",
    [EVENT_ATTEMPT] = "attempt", [EVENT_FAILURE] = "failure",
};

static const char EVENT_SQL[] =
    "INSERT INTO oncesink_event (wall_ms, kind, batch, incarnation, text) VALUES (?, ?, ?, ?, ?)";

static bool add(struct ledger *ledger, enum ledger_event_kind kind, int64_t batch, int64_t wall_ms,
                const char *text, struct err *err)
{
    enum { WALL = 1, KIND_WORD, BATCH, INCARNATION, TEXT };
    const char *incarnation = ledger->identity.incarnation;
    sqlite3_stmt *statement = ledger_prepare(ledger, STATEMENT_EVENT, EVENT_SQL, err);

    if (statement == NULL) {
        return false;
    }
    ledger_bind_integer(statement, WALL, wall_ms);
    ledger_bind_text(statement, KIND_WORD, KIND[kind]);
    if (batch > 0) {
        ledger_bind_integer(statement, BATCH, batch);
    } else {
        ledger_bind_null(statement, BATCH);
    }
    ledger_bind_text(statement, INCARNATION, incarnation[0] != '\0' ? incarnation : NULL);
    ledger_bind_text(statement, TEXT, text);
    return ledger_run(ledger, statement, err);
}

bool ledger_event(struct ledger *ledger, enum ledger_event_kind kind, int64_t batch,
                  int64_t wall_ms, struct err *err, const char *format, ...)
{
    const bool joins = ledger->in_transaction;
    char text[EVENT_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!joins && !ledger_begin(ledger, err)) {
        return false;
    }
    if (!add(ledger, kind, batch, wall_ms, text, err)) {
        if (!joins) {
            ledger_rollback(ledger);
        }
        return err_wrap(err, "cannot note the event '%s'", KIND[kind]);
    }
    return joins || ledger_commit(ledger, err);
}
