/* The ledger is opened, named, and closed.
 *
 * Order for the owner: the file is made if it isn't there (mode 0640, which SQLite gives its -wal
 * and -shm too) → path resolved → lock → SQLite → schema → the one row that says who this is. A
 * reader takes no lock and makes nothing. The inode is remembered: a file that is moved, or
 * replaced under the owner's path, would make two owners (O1). */
#include "ledger_internal.h"

#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char IDENTITY_SQL[] =
    "SELECT uuid, incarnation, batch, settled, last_ms, pruned, job, "
    "(SELECT p.delivery = 'transactional' FROM oncesink_batch b JOIN oncesink_pipeline p "
    "USING (pipeline) WHERE b.batch = l.settled), "
    "(SELECT p.provenance = 'positions' FROM oncesink_batch b JOIN oncesink_pipeline p "
    "USING (pipeline) WHERE b.batch = l.settled) FROM oncesink_ledger l";

static bool make_file(const char *path, struct err *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0) {
        return err_set(err, errno == ENOSPC ? ERR_LEDGER_FULL : ERR_LEDGER, errno,
                       "ledger %s: cannot be made: %s", path, strerror(errno));
    }
    close(fd);
    return true;
}

static bool resolve(struct ledger *ledger, struct err *err)
{
    struct stat found;

    ledger->real_path = realpath(ledger->path, NULL);
    if (ledger->real_path == NULL || stat(ledger->real_path, &found) != 0) {
        return err_set(err, ERR_LEDGER, errno, "ledger %s: cannot be opened: %s", ledger->path,
                       strerror(errno));
    }
    if (!S_ISREG(found.st_mode)) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: is not a file; look at the path (ledger.path)", ledger->path);
    }
    ledger->device = found.st_dev;
    ledger->inode = found.st_ino;
    return true;
}

static bool open_database(struct ledger *ledger, struct err *err)
{
    const int flags = (ledger->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    if (sqlite3_open_v2(ledger->real_path, &ledger->db, flags, NULL) != SQLITE_OK) {
        return ledger_error(ledger, err, "cannot be opened");
    }
    if (!ledger->read_only && sqlite3_db_readonly(ledger->db, "main") == 1) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: may only be read by this user; give it write permission",
                       ledger->path);
    }
    ledger_wait_install(ledger);
    return true;
}

static bool load_identity(struct ledger *ledger, const char *job, struct err *err)
{
    enum { UUID, INCARNATION, BATCH, SETTLED, LAST_MS, PRUNED, JOB, BY_MARK, BY_PLACE };
    struct ledger_identity *identity = &ledger->identity;
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_IDENTITY, IDENTITY_SQL, err);
    bool found = false;
    bool good = true;

    if (row == NULL || !ledger_step(ledger, row, &found, err)) {
        return false;
    }
    if (!found) {
        return ledger_damaged(ledger, err, "no row in oncesink_ledger");
    }
    if (!ledger_text_copy(row, UUID, identity->uuid, sizeof(identity->uuid)) ||
        strlen(identity->uuid) != UUID_SIZE - 1 ||
        !ledger_text_copy(row, INCARNATION, identity->incarnation, sizeof(identity->incarnation))) {
        good = ledger_damaged(ledger, err, "uuid or incarnation in oncesink_ledger");
    } else if (job != NULL && strcmp(ledger_text(row, JOB), job) != 0) {
        good = err_set(
            err, ERR_SETTINGS, 0,
            "ledger %s: belongs to the job '%s', not to '%s'; look at job.name and ledger.path",
            ledger->path, ledger_text(row, JOB), job);
    }
    identity->batch = sqlite3_column_int64(row, BATCH);
    identity->settled = sqlite3_column_int64(row, SETTLED);
    identity->last_ms = sqlite3_column_int64(row, LAST_MS);
    identity->settled_by_mark = sqlite3_column_int(row, BY_MARK) != 0;
    identity->settled_by_place = sqlite3_column_int(row, BY_PLACE) != 0;
    ledger->pruned = sqlite3_column_int64(row, PRUNED);
    if (good && (identity->last_ms < 0 || identity->last_ms > LEDGER_MS_MAX)) {
        good = ledger_damaged(ledger, err, "last_ms in oncesink_ledger, a time beyond year 9999");
    }
    sqlite3_reset(row);
    return good;
}

static struct ledger *ledger_new(const char *path)
{
    struct ledger *ledger = mem_zero(sizeof(*ledger));

    ledger->path = mem_text(path);
    ledger->lock_fd = -1;
    ledger->shm_fd = -1;
    return ledger;
}

bool ledger_open(const struct ledger_options *options, struct ledger **ledger_out, struct err *err)
{
    struct ledger *ledger;

    assert(options->path != NULL && options->job != NULL);
    if (options->create && !make_file(options->path, err)) {
        return false;
    }
    ledger = ledger_new(options->path);
    ledger->stopped = options->stopped;
    ledger->stopped_arg = options->stopped_arg;
    if (!resolve(ledger, err) || !ledger_lock(ledger, err) || !open_database(ledger, err) ||
        !ledger_schema_prepare(ledger, options->create ? options->job : NULL, options->uuid, err) ||
        !load_identity(ledger, options->job, err)) {
        ledger_close(ledger);
        return false;
    }
    ledger_prune_install(ledger);
    *ledger_out = ledger;
    return true;
}

bool ledger_open_to_read(const char *path, struct ledger **ledger_out, struct err *err)
{
    struct ledger *ledger = ledger_new(path);

    ledger->read_only = true;
    if (!resolve(ledger, err) || !open_database(ledger, err) ||
        !ledger_schema_prepare(ledger, NULL, NULL, err) || !load_identity(ledger, NULL, err)) {
        ledger_close(ledger);
        return false;
    }
    *ledger_out = ledger;
    return true;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    ledger_rollback(ledger);
    ledger_sync_end(ledger);
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(ledger->statements[i]);
    }
    sqlite3_close(ledger->db);
    if (ledger->shm_fd >= 0) {
        close(ledger->shm_fd);
    }
    if (ledger->lock_fd >= 0) {
        close(
            ledger
                ->lock_fd); /* last: the lock ends when nothing of the database is open any more */
    }
    definition_deinit(&ledger->defined);
    free(ledger->path);
    free(ledger->real_path);
    free(ledger);
}

void ledger_identity(const struct ledger *ledger, struct ledger_identity *identity_out)
{
    *identity_out = ledger->identity;
}

bool ledger_check_file(const struct ledger *ledger, struct err *err)
{
    struct stat found;

    if (stat(ledger->path, &found) != 0) {
        return err_set(err, ERR_DECISION, errno,
                       "ledger %s: the file was moved or deleted while it was open (%s); "
                       "put it back before the next start",
                       ledger->path, strerror(errno));
    }
    if (found.st_dev != ledger->device || found.st_ino != ledger->inode) {
        return err_set(err, ERR_DECISION, 0,
                       "ledger %s: another file was put in its place while it was open; "
                       "decide which one is right before the next start",
                       ledger->path);
    }
    return true;
}

/* ---- incarnations ---- */

static const char INCARNATION_ADD_SQL[] =
    "INSERT INTO oncesink_incarnation (incarnation, began_with, began_wall_ms) VALUES (?, ?, ?)";
static const char START_SQL[] = "UPDATE oncesink_ledger SET incarnation = ? WHERE id = 1";
static const char INCARNATION_KNOWN_SQL[] =
    "SELECT 1 FROM oncesink_incarnation WHERE incarnation = ?";

static bool add_incarnation(struct ledger *ledger, const char *incarnation, const char *began_with,
                            int64_t wall_ms, struct err *err)
{
    enum { INCARNATION = 1, BEGAN_WITH, WALL };
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_INCARNATION_ADD, INCARNATION_ADD_SQL, err);
    sqlite3_stmt *set = ledger_prepare(ledger, STATEMENT_START, START_SQL, err);

    if (add == NULL || set == NULL) {
        return false;
    }
    ledger_bind_text(add, INCARNATION, incarnation);
    ledger_bind_text(add, BEGAN_WITH, began_with);
    ledger_bind_integer(add, WALL, wall_ms);
    ledger_bind_text(set, 1, incarnation);
    if (!ledger_run(ledger, add, err) || !ledger_run(ledger, set, err)) {
        return false;
    }
    memcpy(ledger->identity.incarnation, incarnation, INCARNATION_SIZE);
    return true;
}

bool ledger_start(struct ledger *ledger, const char *incarnation, int64_t wall_ms, struct err *err)
{
    assert(strlen(incarnation) == INCARNATION_SIZE - 1);
    if (!ledger_begin(ledger, err)) {
        return false;
    }
    if (!add_incarnation(ledger, incarnation, "start", wall_ms, err) ||
        !ledger_event(ledger, EVENT_START, 0, wall_ms, err, "process %ld, version %s",
                      (long)getpid(), ONCESINK_VERSION)) {
        ledger_rollback(ledger);
        return err_wrap(err, "cannot note the start");
    }
    return ledger_commit(ledger, err);
}

bool ledger_new_producer(struct ledger *ledger, const char *incarnation, int64_t wall_ms,
                         struct err *err)
{
    char before[INCARNATION_SIZE];

    assert(strlen(incarnation) == INCARNATION_SIZE - 1);
    memcpy(before, ledger->identity.incarnation, sizeof(before));
    if (!ledger_begin(ledger, err)) {
        return false;
    }
    if (!add_incarnation(ledger, incarnation, "producer", wall_ms, err) ||
        !ledger_event(ledger, EVENT_PRODUCER, 0, wall_ms, err, "the producer of %s was replaced",
                      before)) {
        ledger_rollback(ledger);
        return err_wrap(err, "cannot note the new producer");
    }
    return ledger_commit(ledger, err);
}

bool ledger_knows_incarnation(struct ledger *ledger, const char *incarnation, bool *known_out,
                              struct err *err)
{
    sqlite3_stmt *statement =
        ledger_prepare(ledger, STATEMENT_INCARNATION_KNOWN, INCARNATION_KNOWN_SQL, err);
    bool row;

    if (statement == NULL) {
        return false;
    }
    ledger_bind_text(statement, 1, incarnation);
    if (!ledger_step(ledger, statement, &row, err)) {
        return false;
    }
    sqlite3_reset(statement);
    *known_out = row;
    return true;
}
