/* Statements and transactions: the one place where SQLite's answers become errors of ours.
 *
 *     outside ─begin→ inside ─commit→ outside   a commit that failed is rolled back: nothing stays
 *                        └───rollback→ outside
 *
 * What a transaction changed in `identity` is taken back with it. */
#include "ledger_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum err_kind kind_of(const struct ledger *ledger, int code, int cause)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ERR_LEDGER_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ledger->wait_stopped ? ERR_STOPPED : ERR_LOCKED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return cause == ENOSPC || cause == EDQUOT ? ERR_LEDGER_FULL : ERR_LEDGER;
    default:
        return ERR_LEDGER;
    }
}

__attribute__((format(printf, 4, 0))) static bool error_of(struct ledger *ledger, int code,
                                                           struct err *err, const char *format,
                                                           va_list args)
{
    char words[ERR_TEXT_MAX / 2];
    const char *text = ledger->db != NULL ? sqlite3_errmsg(ledger->db) : sqlite3_errstr(code);
    const int cause = ledger->db != NULL ? sqlite3_system_errno(ledger->db) : 0;
    const bool os_error = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;

    vsnprintf(words, sizeof(words), format, args);
    if ((code & 0xff) == SQLITE_NOTADB) {
        return err_set(err, ERR_LEDGER, code,
                       "ledger %s: is not an SQLite database; look at the path (ledger.path)",
                       ledger->path);
    }
    if (os_error && cause != 0) {
        return err_set(err, kind_of(ledger, code, cause), code, "ledger %s: %s: %s (%s)",
                       ledger->path, words, text, strerror(cause));
    }
    return err_set(err, kind_of(ledger, code, os_error ? cause : 0), code, "ledger %s: %s: %s",
                   ledger->path, words, text);
}

bool ledger_error(struct ledger *ledger, struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_of(ledger, sqlite3_extended_errcode(ledger->db), err, format, args);
    va_end(args);
    return false;
}

bool ledger_error_code(struct ledger *ledger, int code, struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_of(ledger, code, err, format, args);
    va_end(args);
    return false;
}

bool ledger_damaged(const struct ledger *ledger, struct err *err, const char *format, ...)
{
    char words[ERR_TEXT_MAX / 2];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return err_set(err, ERR_LEDGER, SQLITE_CORRUPT,
                   "ledger %s: holds what can't be: %s; see oncesink-recover verify", ledger->path,
                   words);
}

sqlite3_stmt *ledger_prepare(struct ledger *ledger, enum ledger_statement which, const char *sql,
                             struct err *err)
{
    if (!ledger_sync_wait(ledger, err)) {
        return NULL;
    }
    if (ledger->statements[which] == NULL) {
        if (sqlite3_prepare_v3(ledger->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &ledger->statements[which], NULL) != SQLITE_OK) {
            ledger_error(ledger, err, "cannot prepare a statement");
            return NULL;
        }
    } else {
        sqlite3_reset(ledger->statements[which]);
    }
    return ledger->statements[which];
}

bool ledger_step(struct ledger *ledger, sqlite3_stmt *statement, bool *row_out, struct err *err)
{
    int code;

    assert(!ledger->unsynced_commits || ledger->in_transaction ||
           sqlite3_stmt_readonly(statement) != 0);
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *row_out = true;
        return true;
    }
    if (code != SQLITE_DONE) {
        ledger_error(ledger, err, "cannot %s",
                     sqlite3_stmt_readonly(statement) != 0 ? "read" : "write");
        sqlite3_reset(statement);
        return false;
    }
    sqlite3_reset(statement);
    *row_out = false;
    return true;
}

bool ledger_run(struct ledger *ledger, sqlite3_stmt *statement, struct err *err)
{
    bool row;

    if (!ledger_step(ledger, statement, &row, err)) {
        return false;
    }
    if (row) {
        sqlite3_reset(statement);
    }
    return true;
}

bool ledger_exec(struct ledger *ledger, const char *sql, struct err *err)
{
    if (!ledger_sync_wait(ledger, err)) {
        return false;
    }
    if (sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ledger_error(ledger, err, "cannot open it");
    }
    return true;
}

void ledger_bind_integer(sqlite3_stmt *statement, int column, int64_t value)
{
    const int code = sqlite3_bind_int64(statement, column, value);

    assert(code == SQLITE_OK);
    (void)code;
}

void ledger_bind_real(sqlite3_stmt *statement, int column, double value)
{
    const int code = sqlite3_bind_double(statement, column, value);

    assert(code == SQLITE_OK);
    (void)code;
}

void ledger_bind_null(sqlite3_stmt *statement, int column)
{
    const int code = sqlite3_bind_null(statement, column);

    assert(code == SQLITE_OK);
    (void)code;
}

void ledger_bind_text(sqlite3_stmt *statement, int column, const char *text)
{
    const int code = sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);

    assert(code == SQLITE_OK);
    (void)code;
}

void ledger_bind_blob(sqlite3_stmt *statement, int column, const void *bytes, int64_t size)
{
    /* An empty blob needs an address of its own: NULL would store NULL. */
    const int code = size < 0 ? sqlite3_bind_null(statement, column)
                              : sqlite3_bind_blob64(statement, column, size == 0 ? "" : bytes,
                                                    (sqlite3_uint64)size, SQLITE_STATIC);

    assert(code == SQLITE_OK);
    (void)code;
}

const char *ledger_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return text == NULL ? "" : (const char *)text;
}

bool ledger_text_copy(sqlite3_stmt *statement, int column, char *text, size_t size)
{
    const char *found = ledger_text(statement, column);
    const size_t length = strlen(found);

    if (length >= size) {
        return false;
    }
    memcpy(text, found, length + 1);
    return true;
}

bool ledger_begin(struct ledger *ledger, struct err *err)
{
    sqlite3_stmt *statement;

    assert(!ledger->in_transaction);
    ledger->wait_stopped = false;
    if (!ledger_sync_commits(ledger, err)) {
        return err_wrap(err, "cannot begin a transaction");
    }
    statement = ledger->read_only ? ledger_prepare(ledger, STATEMENT_BEGIN_READ, "BEGIN", err)
                                  : ledger_prepare(ledger, STATEMENT_BEGIN, "BEGIN IMMEDIATE", err);
    ledger->in_transaction = true;
    if (statement == NULL || !ledger_run(ledger, statement, err)) {
        ledger->in_transaction = false;
        return err_wrap(err, "cannot begin a transaction");
    }
    ledger->identity_before = ledger->identity;
    return true;
}

bool ledger_commit(struct ledger *ledger, struct err *err)
{
    sqlite3_stmt *statement;

    assert(ledger->in_transaction);
    statement = ledger_prepare(ledger, STATEMENT_COMMIT, "COMMIT", err);
    if (statement == NULL || !ledger_run(ledger, statement, err)) {
        ledger_rollback(ledger);
        return err_wrap(err, "cannot commit");
    }
    ledger->in_transaction = false;
    if (ledger->ahead) {
        ledger_sync_start(ledger);
    }
    return true;
}

void ledger_rollback(struct ledger *ledger)
{
    if (!ledger->in_transaction) {
        return;
    }
    /* A statement in the middle of its rows would keep the rollback from ending the transaction. */
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_reset(ledger->statements[i]);
    }
    /* SQLite may have rolled back by itself (disk full, I/O error); a rollback that fails leaves
     * nothing either: the connection's changes are in its memory only until a commit. */
    if (sqlite3_get_autocommit(ledger->db) == 0) {
        struct err ignored = {0};
        sqlite3_stmt *statement = ledger_prepare(ledger, STATEMENT_ROLLBACK, "ROLLBACK", &ignored);

        if (statement != NULL && !ledger_run(ledger, statement, &ignored)) {
            assert(sqlite3_get_autocommit(ledger->db) != 0);
        }
    }
    ledger->in_transaction = false;
    ledger->ahead = false;
    ledger->identity = ledger->identity_before;
    definition_deinit(&ledger->defined);
}
