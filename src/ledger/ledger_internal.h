/* What the ledger's files share. Only ledger_*.c and their tests include this. Main thread. */
#ifndef LEDGER_INTERNAL_H
#define LEDGER_INTERNAL_H

#include "ledger.h"

#include <sqlite3.h>
#include <sys/types.h>

/* 'ONCE', in the database's header. */
enum { LEDGER_APPLICATION_ID = 0x4f4e4345 };

/* Statements are prepared at their first use and kept. */
enum ledger_statement {
    STATEMENT_BEGIN,
    STATEMENT_BEGIN_READ,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_IDENTITY,
    STATEMENT_START,
    STATEMENT_INCARNATION_ADD,
    STATEMENT_INCARNATION_KNOWN,
    STATEMENT_INPUTS,
    STATEMENT_OUTPUTS,
    STATEMENT_INPUT_JUMP,
    STATEMENT_INPUT_PUT,
    STATEMENT_OUTPUT_PUT,
    STATEMENT_PIPELINES,
    STATEMENT_PIPELINE_LOAD,
    STATEMENT_PIPELINE_INPUTS,
    STATEMENT_PIPELINE_OUTPUTS,
    STATEMENT_PIPELINE_ADD,
    STATEMENT_PIPELINE_INPUT_ADD,
    STATEMENT_PIPELINE_OUTPUT_ADD,
    STATEMENT_PLAN_BATCH,
    STATEMENT_PLAN_RANGE,
    STATEMENT_PLAN_INPUT,
    STATEMENT_PLAN_LEDGER,
    STATEMENT_FENCE,
    STATEMENT_CHECKPOINT_FENCE,
    STATEMENT_PROGRESS_DROP,
    STATEMENT_PROGRESS_ADD,
    STATEMENT_SET_ASIDE,
    STATEMENT_SET_ASIDE_TOTAL,
    STATEMENT_SETTLE_BATCH,
    STATEMENT_SETTLE_RANGE,
    STATEMENT_SETTLE_INPUT,
    STATEMENT_SETTLE_LEFT,
    STATEMENT_SETTLE_FENCE,
    STATEMENT_SETTLE_OUTPUT,
    STATEMENT_SETTLE_PROGRESS,
    STATEMENT_SETTLE_LEDGER,
    STATEMENT_RATE_LOAD,
    STATEMENT_RATE_PUT,
    STATEMENT_UNSETTLED_BATCH,
    STATEMENT_UNSETTLED_RANGES,
    STATEMENT_UNSETTLED_FENCES,
    STATEMENT_UNSETTLED_PROGRESS,
    STATEMENT_UNSETTLED_SET_ASIDE,
    STATEMENT_EVENT,
    STATEMENT_PRUNE_RANGES,
    STATEMENT_PRUNE_OUTPUTS,
    STATEMENT_PRUNE_BATCH,
    STATEMENT_PRUNE_EVENTS,
    STATEMENT_PRUNE_LEDGER,
    STATEMENT_FIGURES,
    STATEMENT_FIGURES_EVENTS,
    STATEMENT_FIGURES_STARTS,
    STATEMENT_LEARN,
    STATEMENT_RENUMBER,
    STATEMENT_FENCE_DROP,
    STATEMENT_COUNT,
};

struct ledger {
    sqlite3 *db;
    char *path;      /* as the caller gave it: shown, and looked at by ledger_check_file */
    char *real_path; /* what it leads to: opened and locked */
    int lock_fd;
    int shm_fd; /* opened by a long wait to see who writes; see ledger_wait.c */
    dev_t device;
    ino_t inode;
    bool read_only;
    bool in_transaction;
    struct ledger_sync *sync; /* made when it is first needed */
    bool ahead;               /* in a transaction that is synced after its commit */
    bool unsynced_commits;    /* synchronous=NORMAL is set */
    bool syncing;             /* the thread is at it */
    int sync_code;            /* not SQLITE_OK: a sync failed, or would not be made; lasting */
    struct ledger_identity identity;
    struct ledger_identity identity_before; /* as of the transaction's begin */
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct definition defined; /* the one that ledger_define met last; id 0 = none */

    bool (*stopped)(void *);
    void *stopped_arg;
    int64_t wait_began_ms;
    int64_t wait_logged_ms;
    bool wait_stopped; /* the last wait was ended by `stopped` */

    int64_t pruned;      /* batches up to this one are gone */
    int64_t page_size;   /* bytes: 4 KiB, 16 in older ledgers */
    int wal_pages;       /* in the WAL after the last commit */
    int wal_tidied;      /* wal_pages when a checkpoint was last tried */
    bool wal_large_said; /* logged that it is large */
};

/* ---- ledger_lock.c ---- */

/* A network file system's magic number (statfs): locks and mapped memory can't be trusted there. */
bool ledger_lock_is_network(int64_t magic);

/* Refuses network file systems, then takes the lock on `real_path`.lock; fills lock_fd. */
MUST_CHECK bool ledger_lock(struct ledger *ledger, struct err *err);

/* The pid of the process that holds the lock; 0 = none does, −1 = one whose pid isn't known. */
int64_t ledger_lock_owner(const struct ledger *ledger);

/* ---- ledger_wait.c ---- */

/* SQLite's busy handler: waits, says what for, and obeys `stopped`. */
void ledger_wait_install(struct ledger *ledger);

/* ---- ledger_statement.c ---- */

/* Fills `err` from the database's last error, after the caller's words; returns false. */
bool ledger_error(struct ledger *ledger, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a code that a call returned. */
bool ledger_error_code(struct ledger *ledger, int code, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The statement, reset and ready to be bound; NULL on failure. */
sqlite3_stmt *ledger_prepare(struct ledger *ledger, enum ledger_statement which, const char *sql,
                             struct err *err);

/* One step; *row_out tells whether it gave a row. Without a row, and on failure, the statement is
 * reset. */
MUST_CHECK bool ledger_step(struct ledger *ledger, sqlite3_stmt *statement, bool *row_out,
                            struct err *err);

/* A statement that gives no rows, from its first step to its reset. */
MUST_CHECK bool ledger_run(struct ledger *ledger, sqlite3_stmt *statement, struct err *err);

/* SQL without parameters and rows, not kept. */
MUST_CHECK bool ledger_exec(struct ledger *ledger, const char *sql, struct err *err);

/* Columns are bound from 1 on. Texts and blobs are borrowed until the statement is run; NULL is
 * NULL. */
void ledger_bind_integer(sqlite3_stmt *statement, int column, int64_t value);
void ledger_bind_real(sqlite3_stmt *statement, int column, double value);
void ledger_bind_null(sqlite3_stmt *statement, int column);
void ledger_bind_text(sqlite3_stmt *statement, int column, const char *text);
void ledger_bind_blob(sqlite3_stmt *statement, int column, const void *bytes, int64_t size);

/* A text column, "" for NULL; valid until the next step. */
const char *ledger_text(sqlite3_stmt *statement, int column);

/* Copies a text column into an array; false when it doesn't fit. */
MUST_CHECK bool ledger_text_copy(sqlite3_stmt *statement, int column, char *text, size_t size);

/* What the ledger holds can't be: it was damaged or edited. Fills `err`; returns false. */
bool ledger_damaged(const struct ledger *ledger, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- ledger_sync.c ---- */

/* Nothing may touch the database before what was committed ahead is on the disk. */
MUST_CHECK bool ledger_sync_wait(struct ledger *ledger, struct err *err);

/* A transaction that was begun ahead is committed. */
void ledger_sync_start(struct ledger *ledger);

/* Before a transaction: its commit syncs, unless it is one ahead. */
MUST_CHECK bool ledger_sync_commits(struct ledger *ledger, struct err *err);

/* Waits for what is under way and ends the thread. */
void ledger_sync_end(struct ledger *ledger);

/* ---- ledger_schema.c ---- */

/* The connection's settings, then: an empty file becomes a ledger (if `job` isn't NULL; `uuid`
 * NULL: one is drawn), an older one is brought up to date, and what is not a ledger of ours is
 * refused. */
MUST_CHECK bool ledger_schema_prepare(struct ledger *ledger, const char *job, const char *uuid,
                                      struct err *err);

/* ---- ledger_prune.c ---- */

/* Begins to count the pages in the WAL. */
void ledger_prune_install(struct ledger *ledger);

/* ---- ledger_rate.c ---- */

/* [txn] The state as that batch left it, in place of the one before. */
MUST_CHECK bool ledger_rate_put(struct ledger *ledger, int64_t batch,
                                const struct rate_estimate *estimate, struct err *err);

/* ---- ledger_define.c ---- */

/* Loads a definition by its id. */
MUST_CHECK bool ledger_definition_load(struct ledger *ledger, int64_t id,
                                       struct definition *definition_out, struct err *err);

#endif
