#include "support_ledger.h"

#include "mem.h"

#include <dirent.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void place_make(struct place *place)
{
    snprintf(place->directory, sizeof(place->directory), "/tmp/oncesink-ledger-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof(place->path), "%s/job.db", place->directory);
}

void place_remove(struct place *place)
{
    DIR *directory = opendir(place->directory);

    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
    closedir(directory);
    assert_int_equal(rmdir(place->directory), 0);
}

struct ledger *must_open(const struct place *place)
{
    const struct ledger_options options = {.path = place->path, .job = "job", .create = true};
    struct ledger *ledger = NULL;
    struct err err = {0};

    must(ledger_open(&options, &ledger, &err));
    return ledger;
}

void must_start(struct ledger *ledger, const char *incarnation)
{
    struct err err = {0};

    must(ledger_start(ledger, incarnation, 1000, &err));
}

static sqlite3 *person(const struct place *place)
{
    sqlite3 *db = NULL;

    assert_int_equal(
        sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
        SQLITE_OK);
    sqlite3_busy_timeout(db, 1000);
    return db;
}

int64_t ask_integer(const struct place *place, const char *sql)
{
    char text[64];

    ask_text(place, sql, text, sizeof(text));
    return strtoll(text, NULL, 10);
}

void ask_text(const struct place *place, const char *sql, char *text, size_t size)
{
    sqlite3 *db = person(place);
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    snprintf(text, size, "%s",
             sqlite3_column_text(statement, 0) == NULL
                 ? ""
                 : (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void tell(const struct place *place, const char *sql)
{
    sqlite3 *db = person(place);

    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

enum { SCHEMA_BYTES_MAX = 65536, TABLES_MAX = 64 };

static void run_migration(sqlite3 *db, int number)
{
    static char sql[SCHEMA_BYTES_MAX];
    char pattern[512];
    glob_t found;
    FILE *file;
    size_t size;

    snprintf(pattern, sizeof(pattern), "%.*s/../../schema/%04d_*.sql",
             (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, number);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    file = fopen(found.gl_pathv[0], "r");
    globfree(&found);
    assert_non_null(file);
    size = fread(sql, 1, sizeof(sql) - 1, file);
    fclose(file);
    assert_in_range(size, 1, sizeof(sql) - 2);
    sql[size] = '\0';
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void must_run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
}

/* From the database attached as `now`, all columns that the table has here. */
static void copy_table(sqlite3 *db, const char *table)
{
    sqlite3_stmt *columns = NULL;
    char sql[4096];

    assert_int_equal(sqlite3_prepare_v2(db, "SELECT group_concat(name) FROM pragma_table_info(?)",
                                        -1, &columns, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(columns, 1, table, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(columns), SQLITE_ROW);
    snprintf(sql, sizeof(sql), "INSERT INTO main.%s (%s) SELECT %s FROM now.%s", table,
             (const char *)sqlite3_column_text(columns, 0),
             (const char *)sqlite3_column_text(columns, 0), table);
    sqlite3_finalize(columns);
    must_run(db, sql);
}

static void copy_tables(sqlite3 *db)
{
    char tables[TABLES_MAX][64];
    size_t count = 0;
    sqlite3_stmt *names = NULL;

    assert_int_equal(sqlite3_prepare_v2(
                         db,
                         "SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY rowid",
                         -1, &names, NULL),
                     SQLITE_OK);
    while (sqlite3_step(names) == SQLITE_ROW) {
        assert_true(count < TABLES_MAX);
        snprintf(tables[count++], sizeof(tables[0]), "%s",
                 (const char *)sqlite3_column_text(names, 0));
    }
    sqlite3_finalize(names);
    for (size_t i = 0; i < count; i++) {
        copy_table(db, tables[i]);
    }
}

void make_older(const struct place *place, int version)
{
    struct place older;
    char sql[512];
    sqlite3 *db;

    snprintf(older.path, sizeof(older.path), "%.80s/older.db", place->directory);
    db = person(&older);
    must_run(db, "PRAGMA page_size = 4096");
    for (int number = 1; number <= version; number++) {
        run_migration(db, number);
    }
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS now", place->path);
    must_run(db, sql);
    copy_tables(db);
    snprintf(sql, sizeof(sql), "DETACH now; PRAGMA application_id = %d; PRAGMA user_version = %d",
             0x4f4e4345, version);
    must_run(db, sql);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    snprintf(sql, sizeof(sql), "%s-wal", place->path);
    unlink(sql);
    snprintf(sql, sizeof(sql), "%s-shm", place->path);
    unlink(sql);
    assert_int_equal(rename(older.path, place->path), 0);
}

void add_inputs(struct ledger *ledger, const char *topic, int32_t partitions)
{
    struct err err = {0};

    must(ledger_begin(ledger, &err));
    for (int32_t p = 0; p < partitions; p++) {
        const struct ledger_input input = {
            .topic = (char *)(uintptr_t)topic, .partition = p, .leader_epoch = -1};

        must(ledger_input_put(ledger, &input, &err));
    }
    must(ledger_commit(ledger, &err));
}

void outcome_make(struct outcome *outcome_out, const struct batch *batch)
{
    const size_t count = batch->range_count;

    outcome_out->inputs = mem_array(count, sizeof(struct ledger_input));
    outcome_out->input_records = mem_array(count, sizeof(int64_t));
    outcome_out->outputs = mem_array(count, sizeof(struct ledger_output));
    outcome_out->output_records = mem_array(count, sizeof(int64_t));
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &batch->ranges[i];

        outcome_out->inputs[i] =
            (struct ledger_input){.topic = batch->definition.inputs[range->input].topic,
                                  .partition = range->partition,
                                  .next_offset = range->until,
                                  .leader_epoch = 5};
        outcome_out->input_records[i] = range->until - range->from;
        outcome_out->outputs[i] =
            (struct ledger_output){.topic = (char *)(uintptr_t)batch->fences[i].topic,
                                   .partition = batch->fences[i].partition,
                                   .next_offset = batch->fences[i].offset + 10,
                                   .refreshed_wall_ms = 2000};
        outcome_out->output_records[i] = range->until - range->from;
    }
    outcome_out->settlement = (struct ledger_settlement){
        .batch = batch->number,
        .ended_ms = batch->started_ms + 50,
        .settled_wall_ms = batch->planned_wall_ms + 60,
        .processing_ms = 50,
        .scheduling_ms = 5,
        .records = batch_planned(batch),
        .outputs = batch_planned(batch),
        .inputs = outcome_out->inputs,
        .input_count = count,
        .input_records = outcome_out->input_records,
        .outputs_after = outcome_out->outputs,
        .output_count = count,
        .output_records = outcome_out->output_records,
        .rate = &outcome_out->rate,
    };
    outcome_out->rate = (struct rate_estimate){
        .time_ms = outcome_out->settlement.ended_ms,
        .rate = 1000.0 / 7 * (double)batch->number,
        .error = -1.0 / 3 * (double)batch->number,
        .published = (int64_t)(1000.0 / 7 * (double)batch->number),
    };
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->inputs);
    free(outcome->input_records);
    free(outcome->outputs);
    free(outcome->output_records);
    *outcome = (struct outcome){0};
}
