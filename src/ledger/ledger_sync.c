/* Syncing beside the work: a transaction that was begun ahead is committed at once, and a thread
 * makes its way to the disk.
 *
 *     begin ahead ─commit─► others see it, a dead process keeps it ─thread─► on the disk
 *                                                                     └ failed: for good
 *
 * Such a commit is one with synchronous=NORMAL, which SQLite doesn't sync in WAL mode; then the
 * thread does what synchronous=FULL would have done, the WAL's xSync. That touches nothing but the
 * file, and every other use of the connection waits for it (ledger_prepare, ledger_exec,
 * ledger_tidy). Which of the two it is, is set when a transaction begins and it was the other, not
 * each time: the PRAGMAs were a tenth of a small batch's bookkeeping. While it is NORMAL nothing is
 * written outside a transaction (ledger_step).
 *
 * What a failed sync leaves on the disk isn't known, and a later one that succeeds doesn't tell:
 * from then on every call fails. */
#include "ledger_internal.h"

#include "mem.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { STACK_BYTES = 128 * 1024 };

struct ledger_sync {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sqlite3_file *wal; /* to be synced; NULL = nothing is */
    int code;          /* of the last sync */
    bool ended;
};

static void *run(void *arg)
{
    struct ledger_sync *sync = arg;

    pthread_setname_np(pthread_self(), "ledger-sync");
    pthread_mutex_lock(&sync->lock);
    while (!sync->ended) {
        sqlite3_file *wal = sync->wal;
        int code;

        if (wal == NULL) {
            pthread_cond_wait(&sync->changed, &sync->lock);
            continue;
        }
        pthread_mutex_unlock(&sync->lock);
        code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
        pthread_mutex_lock(&sync->lock);
        sync->code = code;
        sync->wal = NULL;
        pthread_cond_signal(&sync->changed);
    }
    pthread_mutex_unlock(&sync->lock);
    return NULL;
}

/* Signals stay the main thread's. */
static bool start(struct ledger_sync *sync)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    failed = pthread_create(&sync->thread, &attributes, run, sync);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

static struct ledger_sync *sync_new(void)
{
    struct ledger_sync *sync = mem_zero(sizeof(*sync));

    pthread_mutex_init(&sync->lock, NULL);
    pthread_cond_init(&sync->changed, NULL);
    if (!start(sync)) {
        free(sync);
        return NULL;
    }
    return sync;
}

void ledger_sync_end(struct ledger *ledger)
{
    struct ledger_sync *sync = ledger->sync;

    if (sync == NULL) {
        return;
    }
    pthread_mutex_lock(&sync->lock);
    while (sync->wal != NULL) {
        pthread_cond_wait(&sync->changed, &sync->lock);
    }
    sync->ended = true;
    pthread_cond_signal(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
    pthread_join(sync->thread, NULL);
    pthread_cond_destroy(&sync->changed);
    pthread_mutex_destroy(&sync->lock);
    free(sync);
    ledger->sync = NULL;
}

bool ledger_synced(struct ledger *ledger, bool wait, bool *synced_out, struct err *err)
{
    struct ledger_sync *sync = ledger->sync;

    if (ledger->syncing) {
        pthread_mutex_lock(&sync->lock);
        while (wait && sync->wal != NULL) {
            pthread_cond_wait(&sync->changed, &sync->lock);
        }
        ledger->syncing = sync->wal != NULL;
        if (sync->code != SQLITE_OK) {
            ledger->sync_code = sync->code;
        }
        pthread_mutex_unlock(&sync->lock);
    }
    *synced_out = !ledger->syncing;
    if (!ledger->syncing && ledger->sync_code != SQLITE_OK) {
        return err_set(err, ERR_LEDGER, ledger->sync_code,
                       "ledger %s: cannot sync it to the disk: %s", ledger->path,
                       sqlite3_errstr(ledger->sync_code));
    }
    return true;
}

bool ledger_sync_wait(struct ledger *ledger, struct err *err)
{
    bool synced;

    return ledger_synced(ledger, true, &synced, err);
}

bool ledger_begin_ahead(struct ledger *ledger, struct err *err)
{
    assert(!ledger->ahead && !ledger->in_transaction);
    if (ledger->sync == NULL) {
        ledger->sync = sync_new();
    }
    if (ledger->sync == NULL) {
        return ledger_begin(ledger, err); /* the commit takes longer, that is all */
    }
    ledger->ahead = true;
    if (!ledger_begin(ledger, err)) {
        ledger->ahead = false;
        return false;
    }
    return true;
}

bool ledger_sync_commits(struct ledger *ledger, struct err *err)
{
    if (ledger->ahead == ledger->unsynced_commits) {
        return true;
    }
    if (!ledger_exec(ledger,
                     ledger->ahead ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL",
                     err)) {
        return false;
    }
    ledger->unsynced_commits = ledger->ahead;
    return true;
}

void ledger_sync_start(struct ledger *ledger)
{
    struct ledger_sync *sync = ledger->sync;
    sqlite3_file *wal = NULL;
    int code = sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&wal);

    assert(ledger->ahead && !ledger->syncing);
    ledger->ahead = false;
    if (code != SQLITE_OK || wal == NULL || wal->pMethods == NULL) {
        ledger->sync_code = code != SQLITE_OK ? code : SQLITE_IOERR_FSYNC;
    }
    if (ledger->sync_code != SQLITE_OK) {
        return; /* the next call tells it */
    }
    pthread_mutex_lock(&sync->lock);
    sync->wal = wal;
    pthread_cond_signal(&sync->changed);
    pthread_mutex_unlock(&sync->lock);
    ledger->syncing = true;
}
