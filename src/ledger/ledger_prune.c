/* Keeping the file small: old batches are deleted a bite at a time, and the WAL is copied into the
 * file.
 *
 * Both happen between batches. What is pruned stays counted in oncesink_ledger's totals; set-aside
 * records, jumps, incarnations, definitions and the events that tell of something wrong are never
 * pruned. A checkpoint is passive: it copies what no reader needs any more and never waits; once
 * everything is copied the next commit writes the WAL from its beginning again. So a person's open
 * read transaction lets it grow, which is said once when it is large. */
#include "ledger_internal.h"

#include "log.h"
#include "mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    BITE_BATCHES_MAX = 64,
    BITE_ROWS_MAX = 4000,
    OVERDUE_MAX = 64,
    KEEP_EVENTS_MIN = 1000,
    TIDY_BYTES = 8 * 1024 * 1024, /* below journal_size_limit: the WAL's room is used again */
    WAL_LARGE_BYTES = 256 * 1024 * 1024,
};

static const char PRUNE_RANGES_SQL[] = "DELETE FROM oncesink_batch_range WHERE batch = ?";
static const char PRUNE_OUTPUTS_SQL[] = "DELETE FROM oncesink_batch_output WHERE batch = ?";
static const char PRUNE_BATCH_SQL[] =
    "DELETE FROM oncesink_batch WHERE batch = ? AND state = 'settled'";
static const char PRUNE_EVENTS_SQL[] =
    "DELETE FROM oncesink_event WHERE event IN (SELECT event FROM oncesink_event "
    "WHERE event <= (SELECT max(event) FROM oncesink_event) - ? "
    "AND kind IN ('start', 'stop', 'ticks', 'producer', 'attempt') ORDER BY event LIMIT ?)";
static const char PRUNE_LEDGER_SQL[] = "UPDATE oncesink_ledger SET pruned = ? WHERE id = 1";

static bool drop(struct ledger *ledger, enum ledger_statement which, const char *sql, int64_t batch,
                 int64_t *rows, struct err *err)
{
    sqlite3_stmt *statement = ledger_prepare(ledger, which, sql, err);

    if (statement == NULL) {
        return false;
    }
    ledger_bind_integer(statement, 1, batch);
    if (!ledger_run(ledger, statement, err)) {
        return false;
    }
    *rows += sqlite3_changes(ledger->db);
    return true;
}

static bool drop_events(struct ledger *ledger, int64_t keep, struct err *err)
{
    sqlite3_stmt *statement = ledger_prepare(ledger, STATEMENT_PRUNE_EVENTS, PRUNE_EVENTS_SQL, err);

    if (statement == NULL) {
        return false;
    }
    ledger_bind_integer(statement, 1, keep > KEEP_EVENTS_MIN ? keep : KEEP_EVENTS_MIN);
    ledger_bind_integer(statement, 2, BITE_ROWS_MAX);
    return ledger_run(ledger, statement, err);
}

static bool bite(struct ledger *ledger, int64_t keep, struct err *err)
{
    int64_t rows = 0;
    int64_t batch = ledger->pruned;

    for (int i = 0;
         i < BITE_BATCHES_MAX && rows < BITE_ROWS_MAX && batch < ledger->identity.settled - keep;
         i++) {
        batch++;
        if (!drop(ledger, STATEMENT_PRUNE_RANGES, PRUNE_RANGES_SQL, batch, &rows, err) ||
            !drop(ledger, STATEMENT_PRUNE_OUTPUTS, PRUNE_OUTPUTS_SQL, batch, &rows, err) ||
            !drop(ledger, STATEMENT_PRUNE_BATCH, PRUNE_BATCH_SQL, batch, &rows, err)) {
            return false;
        }
    }
    if (!drop(ledger, STATEMENT_PRUNE_LEDGER, PRUNE_LEDGER_SQL, batch, &rows, err) ||
        !drop_events(ledger, keep, err) || !ledger_commit(ledger, err)) {
        return false;
    }
    ledger->pruned = batch;
    return true;
}

bool ledger_prune(struct ledger *ledger, int64_t keep, struct err *err)
{
    const int64_t overdue = ledger->identity.settled - keep - ledger->pruned;
    /* A transaction for every single batch would cost as much as the batch's own: some are let come
     * together. */
    const int64_t allowed = keep / 8 < OVERDUE_MAX ? keep / 8 : OVERDUE_MAX;

    assert(keep >= 0 && !ledger->in_transaction);
    if (overdue <= allowed) {
        return true;
    }
    if (!ledger_begin(ledger, err)) {
        return false;
    }
    if (!bite(ledger, keep, err)) {
        ledger_rollback(ledger);
        return err_wrap(err, "cannot prune old batches");
    }
    return true;
}

/* ---- the WAL ---- */

static int count_pages(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct ledger *ledger = arg;

    (void)db;
    (void)name;
    ledger->wal_pages = pages;
    if (pages < ledger->wal_tidied) {
        ledger->wal_tidied = 0; /* it began anew */
    }
    return SQLITE_OK;
}

void ledger_prune_install(struct ledger *ledger)
{
    sqlite3_wal_hook(ledger->db, count_pages, ledger);
}

int64_t ledger_wal_bytes(const struct ledger *ledger)
{
    char *path = mem_print("%s-wal", ledger->real_path);
    struct stat found;
    const int64_t bytes = stat(path, &found) == 0 ? found.st_size : 0;

    free(path);
    return bytes;
}

static void say_when_large(struct ledger *ledger)
{
    const int64_t bytes = ledger_wal_bytes(ledger);

    if (bytes < WAL_LARGE_BYTES) {
        ledger->wal_large_said = false;
    } else if (!ledger->wal_large_said) {
        ledger->wal_large_said = true;
        log_warning("ledger %s: its WAL has grown to %" PRId64
                    " MiB: another program has had a transaction "
                    "open on it for long; it shrinks when that is ended",
                    ledger->path, bytes / (1024 * 1024));
    }
}

void ledger_tidy(struct ledger *ledger)
{
    int in_wal = 0;
    int copied = 0;
    struct err later; /* the next call tells it */
    int code;

    assert(!ledger->in_transaction);
    if ((ledger->wal_pages - ledger->wal_tidied) * ledger->page_size < TIDY_BYTES ||
        !ledger_sync_wait(ledger, &later)) {
        return;
    }
    ledger->wal_tidied = ledger->wal_pages;
    code =
        sqlite3_wal_checkpoint_v2(ledger->db, "main", SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
    if (code != SQLITE_OK && code != SQLITE_BUSY) {
        /* Nothing is lost: what isn't copied stays in the WAL. A commit will fail if the disk is
         * bad. */
        log_warning(
            "ledger %s: cannot copy its WAL into the file: %s; trying again after the next batches",
            ledger->path, sqlite3_errmsg(ledger->db));
    }
    say_when_large(ledger);
}

void ledger_give_back(struct ledger *ledger)
{
    sqlite3_db_release_memory(ledger->db);
}
