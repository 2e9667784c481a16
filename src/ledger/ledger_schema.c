/* The schema: the connection's settings, and migrations from schema/NNNN_*.sql, embedded at build
 * time.
 *
 * A file is one of: empty (becomes a ledger when asked to), a ledger of this or an earlier version
 * (brought up to date), a ledger of a later version, another program's database, no database at
 * all. The last three are refused, and nothing is written before that is known. All migrations, the
 * versions in the header and the first row are one transaction: a process that dies on the way
 * leaves an empty file or a ledger.
 *
 * Settings: DQS off, so that "x" never silently is a text; trusted_schema off and defensive on,
 * since user tables live here; no auto-checkpoint (ledger_tidy does it between batches);
 * synchronous=FULL, so that a commit is on the disk. */
#include "ledger_internal.h"

#include "ledger_migrations.h"
#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    VERSION = sizeof(LEDGER_MIGRATIONS) / sizeof(LEDGER_MIGRATIONS[0]),
    UUID_BYTES = 16,
    SQL_SIZE = 128,
};

/* page_size only matters to a file without tables, and must come before WAL. A batch changes a row
 * or two in each of eight pages, which are written whole: with 16 KiB a small batch took a
 * twentieth longer. cache_size is in KiB when negative. */
static const char SETTINGS_SQL[] = "PRAGMA synchronous = FULL;"
                                   "PRAGMA foreign_keys = OFF;"
                                   "PRAGMA trusted_schema = OFF;"
                                   "PRAGMA cell_size_check = ON;"
                                   "PRAGMA cache_size = -1024;";
static const char OWNER_SQL[] = "PRAGMA secure_delete = OFF;"
                                "PRAGMA wal_autocheckpoint = 0;"
                                "PRAGMA journal_size_limit = 16777216;";

static bool configure(struct ledger *ledger, struct err *err)
{
    static const struct {
        int option;
        int value;
    } OPTIONS[] = {
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
    };

    for (size_t i = 0; i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++) {
        const int code = sqlite3_db_config(ledger->db, OPTIONS[i].option, OPTIONS[i].value, NULL);

        if (code != SQLITE_OK) {
            return ledger_error_code(ledger, code, err, "cannot configure SQLite");
        }
    }
    return ledger_exec(ledger, SETTINGS_SQL, err) &&
           (ledger->read_only || ledger_exec(ledger, OWNER_SQL, err));
}

/* One integer, of a statement that isn't kept. */
static bool ask(struct ledger *ledger, const char *sql, int64_t *answer_out, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    bool good = true;

    if (sqlite3_prepare_v2(ledger->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        return ledger_error(ledger, err, "cannot read it");
    }
    if (!ledger_step(ledger, statement, &row, err)) {
        good = false;
    } else if (row) {
        *answer_out = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return good;
}

struct facts {
    int64_t application_id;
    int64_t version;
    int64_t tables;
};

static bool look(struct ledger *ledger, struct facts *facts_out, struct err *err)
{
    *facts_out = (struct facts){0};
    if (!ask(ledger, "PRAGMA application_id", &facts_out->application_id, err) ||
        !ask(ledger, "PRAGMA user_version", &facts_out->version, err) ||
        !ask(ledger, "SELECT count(*) FROM sqlite_schema", &facts_out->tables, err)) {
        return false;
    }
    return true;
}

static bool refuse(const struct ledger *ledger, const struct facts *facts, bool create,
                   struct err *err)
{
    const bool empty = facts->application_id == 0 && facts->tables == 0;

    if (empty && create) {
        return true;
    }
    if (empty) {
        return err_set(err, ERR_LEDGER, 0, "ledger %s: is an empty database, not a ledger",
                       ledger->path);
    }
    if (facts->application_id != LEDGER_APPLICATION_ID) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: is another program's database (application_id 0x%08" PRIx64
                       ", %" PRId64
                       " tables and indexes), not a ledger; look at the path (ledger.path)",
                       ledger->path, facts->application_id, facts->tables);
    }
    if (facts->version > VERSION) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: was written by a newer version (schema %" PRId64
                       ", this program knows up to %d); run that version",
                       ledger->path, facts->version, VERSION);
    }
    if (facts->version < VERSION && ledger->read_only) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: has the older schema %" PRId64 " (this program reads %d); "
                       "start oncesinkd once, which brings it up to date",
                       ledger->path, facts->version, VERSION);
    }
    return true;
}

static bool set_wal(struct ledger *ledger, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    bool good;

    if (sqlite3_prepare_v2(ledger->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) !=
        SQLITE_OK) {
        return ledger_error(ledger, err, "cannot set WAL");
    }
    good = ledger_step(ledger, statement, &row, err);
    if (good && (!row || strcmp(ledger_text(statement, 0), "wal") != 0)) {
        good = err_set(err, ERR_LEDGER, 0,
                       "ledger %s: cannot be set to WAL: its file system or another "
                       "program that has it open doesn't allow it",
                       ledger->path);
    }
    sqlite3_finalize(statement);
    return good;
}

static bool draw_uuid(struct ledger *ledger, char uuid[UUID_SIZE], struct err *err)
{
    uint8_t bytes[UUID_BYTES];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return err_set(err, ERR_FAILED, errno, "ledger %s: no random numbers: %s", ledger->path,
                       strerror(errno));
    }
    for (size_t i = 0; i < UUID_BYTES; i++) {
        snprintf(uuid + 2 * i, 3, "%02x", bytes[i]);
    }
    return true;
}

static bool add_first_row(struct ledger *ledger, const char *job, const char *given,
                          struct err *err)
{
    enum { UUID = 1, JOB, CREATED };
    static const char SQL[] =
        "INSERT INTO oncesink_ledger (id, uuid, job, created_wall_ms) VALUES (1, ?, ?, ?)";
    sqlite3_stmt *statement = NULL;
    struct timespec now;
    char uuid[UUID_SIZE];
    bool good;

    if (given != NULL) {
        assert(strlen(given) == UUID_SIZE - 1);
        memcpy(uuid, given, UUID_SIZE);
    } else if (!draw_uuid(ledger, uuid, err)) {
        return false;
    }
    if (sqlite3_prepare_v2(ledger->db, SQL, -1, &statement, NULL) != SQLITE_OK) {
        return ledger_error(ledger, err, "cannot make it");
    }
    clock_gettime(CLOCK_REALTIME, &now);
    ledger_bind_text(statement, UUID, uuid);
    ledger_bind_text(statement, JOB, job);
    ledger_bind_integer(statement, CREATED, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    good = ledger_run(ledger, statement, err);
    sqlite3_finalize(statement);
    return good;
}

static bool migrate(struct ledger *ledger, const struct facts *facts, const char *job,
                    const char *uuid, struct err *err)
{
    char sql[SQL_SIZE];

    for (int64_t version = facts->version; version < VERSION; version++) {
        if (!ledger_exec(ledger, LEDGER_MIGRATIONS[version], err)) {
            return err_wrap(err, "schema %" PRId64, version + 1);
        }
    }
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             LEDGER_APPLICATION_ID, VERSION);
    if (!ledger_exec(ledger, sql, err)) {
        return false;
    }
    return facts->version > 0 || add_first_row(ledger, job, uuid, err);
}

bool ledger_schema_prepare(struct ledger *ledger, const char *job, const char *uuid,
                           struct err *err)
{
    struct facts facts;

    if (!configure(ledger, err) || !look(ledger, &facts, err) ||
        !refuse(ledger, &facts, job != NULL, err)) {
        return false;
    }
    if (ledger->read_only) {
        return true;
    }
    if (facts.tables == 0 && !ledger_exec(ledger, "PRAGMA page_size = 4096", err)) {
        return false;
    }
    if (!set_wal(ledger, err) || !ask(ledger, "PRAGMA page_size", &ledger->page_size, err)) {
        return false;
    }
    if (facts.version == VERSION) {
        return true;
    }
    if (!ledger_begin(ledger, err) || !look(ledger, &facts, err) ||
        !migrate(ledger, &facts, job, uuid, err) || !ledger_commit(ledger, err)) {
        ledger_rollback(ledger);
        return err_wrap(err, "cannot bring the schema up to date");
    }
    ledger->identity.created = facts.version == 0;
    return true;
}
