/* What is opened, what is refused, and what each refusal says. */
#include "support_ledger.h"

#include "ledger_internal.h"
#include "log.h"
#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The number of files in schema/. */
enum { SCHEMA_VERSION = 3 };

static struct place place;

static int setup(void **state)
{
    (void)state;
    place_make(&place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    place_remove(&place);
    return 0;
}

static void must_refuse(const struct ledger_options *options, enum err_kind kind, const char *words)
{
    struct ledger *ledger = NULL;
    struct err err = {0};

    assert_false(ledger_open(options, &ledger, &err));
    if (err.kind != kind || strstr(err.text, words) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", err_kind_name(kind), words,
                 err_kind_name(err.kind), err.text);
    }
    assert_non_null(strstr(err.text, options->path)); /* the file is named */
}

static void must_refuse_here(enum err_kind kind, const char *words)
{
    const struct ledger_options options = {.path = place.path, .job = "job", .create = true};

    must_refuse(&options, kind, words);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void a_new_ledger_has_the_settings_that_its_promises_need(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct ledger_identity identity;
    struct stat found;
    char text[64];

    (void)state;
    ledger_identity(ledger, &identity);
    assert_true(identity.created);
    assert_int_equal(strlen(identity.uuid), 32);
    assert_string_equal(identity.incarnation, "");
    assert_int_equal(identity.batch, 0);
    assert_int_equal(ask_integer(&place, "PRAGMA application_id"), LEDGER_APPLICATION_ID);
    assert_int_equal(ask_integer(&place, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(ask_integer(&place, "PRAGMA page_size"), 4096);
    ask_text(&place, "PRAGMA journal_mode", text, sizeof(text));
    assert_string_equal(text, "wal");
    ask_text(&place,
             "SELECT group_concat(name) FROM pragma_table_list WHERE type = 'table' AND strict = 0 "
             "AND name GLOB 'oncesink_*'",
             text, sizeof(text));
    assert_string_equal(text, ""); /* all are STRICT */
    assert_int_equal(stat(place.path, &found), 0);
    assert_int_equal(found.st_mode & 07777 & ~0640U, 0);
    ledger_close(ledger);
    ledger = must_open(&place);
    ledger_identity(ledger, &identity);
    assert_false(identity.created);
    ledger_close(ledger);
}

static void double_quoted_strings_are_off(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct err err = {0};

    (void)state;
    assert_false(ledger_exec(ledger, "SELECT \"nothing\"", &err));
    assert_non_null(strstr(err.text, "no such column"));
    ledger_close(ledger);
}

static void what_is_not_a_ledger_is_refused_and_left_alone(void **state)
{
    static const char GARBAGE[] = "this has never been a database, however long one looks at it";
    char before[128];
    char after[128];
    struct stat found;

    (void)state;
    write_file(place.path, GARBAGE, sizeof(GARBAGE));
    must_refuse_here(ERR_LEDGER, "not an SQLite database");
    assert_int_equal(stat(place.path, &found), 0);
    assert_int_equal(found.st_size, sizeof(GARBAGE));
    unlink(place.path);

    tell(&place, "PRAGMA application_id = 77; CREATE TABLE theirs (a)");
    ask_text(&place, "PRAGMA journal_mode", before, sizeof(before));
    must_refuse_here(ERR_LEDGER, "another program's database");
    ask_text(&place, "PRAGMA journal_mode", after, sizeof(after));
    assert_string_equal(before, after);
}

static void a_newer_ledger_is_refused_with_its_version(void **state)
{
    (void)state;
    ledger_close(must_open(&place));
    tell(&place, "PRAGMA user_version = 99");
    must_refuse_here(ERR_LEDGER, "newer version (schema 99");
}

/* With a batch in doubt: what an upgrade in the middle of the night meets. */
static void bring_up_to_date(int version)
{
    struct ledger *ledger = must_open(&place);
    struct ledger *reader = NULL;
    struct ledger_identity before;
    struct ledger_identity after;
    struct rate_estimate rate;
    struct outcome outcome;
    struct batch batch;
    struct batch found;
    bool is = false;
    struct err err = {0};

    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", 3);
    sample_batch(&batch, 1, 3, 0, 100);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch.definition, &err));
    must(ledger_plan(ledger, &batch, &err));
    must(ledger_commit(ledger, &err));
    ledger_identity(ledger, &before);
    ledger_close(ledger);
    make_older(&place, version);
    assert_false(ledger_open_to_read(place.path, &reader, &err));
    assert_non_null(strstr(err.text, "older schema"));
    assert_int_equal(ask_integer(&place, "PRAGMA user_version"), version); /* it only looked */
    ledger = must_open(&place);
    ledger_identity(ledger, &after);
    assert_string_equal(after.uuid, before.uuid);
    assert_string_equal(after.incarnation, before.incarnation);
    assert_int_equal(after.batch, 1);
    assert_int_equal(after.settled, 0);
    assert_false(after.created);
    assert_int_equal(ask_integer(&place, "PRAGMA user_version"), SCHEMA_VERSION);
    must(ledger_rate_load(ledger, &rate, &err));
    assert_true(rate.first);
    must(ledger_unsettled(ledger, &found, &is, &err));
    assert_true(is && found.range_count == 3 && found.fence_count == 3);
    assert_memory_equal(found.ranges, batch.ranges, 3 * sizeof(struct range));
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM events WHERE kind = 'start'"), 1);
    must_start(ledger, "0000000b");
    outcome_make(&outcome, &found);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_commit(ledger, &err));
    must(ledger_open_to_read(place.path, &reader, &err));
    ledger_close(reader);
    outcome_free(&outcome);
    batch_deinit(&found);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it(void **state)
{
    (void)state;
    for (int version = 1; version < SCHEMA_VERSION; version++) {
        if (version > 1) {
            place_remove(&place);
            place_make(&place);
        }
        bring_up_to_date(version);
    }
}

static void a_ledger_that_is_not_there_is_made_only_on_demand(void **state)
{
    const struct ledger_options options = {.path = place.path, .job = "job", .create = false};
    struct ledger *ledger = NULL;
    struct err err = {0};

    (void)state;
    must_refuse(&options, ERR_LEDGER, "No such file");
    write_file(place.path, "", 0);
    must_refuse(&options, ERR_LEDGER, "empty database");
    assert_false(ledger_open_to_read(place.path, &ledger, &err));
    assert_int_equal(err.kind, ERR_LEDGER);
    ledger_close(must_open(
        &place)); /* an empty file, as a start that was killed leaves it, becomes a ledger */
    must(ledger_open_to_read(place.path, &ledger, &err));
    ledger_close(ledger);
}

static void another_jobs_ledger_is_refused(void **state)
{
    const struct ledger_options options = {.path = place.path, .job = "other", .create = true};

    (void)state;
    ledger_close(must_open(&place));
    must_refuse(&options, ERR_SETTINGS, "belongs to the job 'job', not to 'other'");
}

static void a_time_that_no_clock_tells_is_refused(void **state)
{
    (void)state;
    ledger_close(must_open(&place));
    tell(&place, "UPDATE oncesink_ledger SET last_ms = 253402300799999");
    ledger_close(must_open(&place));
    tell(&place, "UPDATE oncesink_ledger SET last_ms = 253402300800000");
    must_refuse_here(ERR_LEDGER, "last_ms");
    tell(&place, "UPDATE oncesink_ledger SET last_ms = 9223372036854775807");
    must_refuse_here(ERR_LEDGER, "last_ms");
}

static void a_directory_and_a_missing_directory_are_refused(void **state)
{
    const struct ledger_options directory = {.path = place.directory, .job = "job"};
    const struct ledger_options nowhere = {
        .path = "/nonexistent/job.db", .job = "job", .create = true};

    (void)state;
    must_refuse(&directory, ERR_LEDGER, "is not a file");
    must_refuse(&nowhere, ERR_LEDGER, "cannot be made");
}

/* Bytes of the first table pages overwritten: whatever SQLite notices, it's one message and no
 * crash. */
static void a_damaged_ledger_is_refused_or_reads_as_damaged(void **state)
{
    uint8_t noise[4096];
    struct ledger *ledger = must_open(&place);
    struct ledger_inputs inputs = {0};
    struct ledger_outputs outputs = {0};
    struct err err = {0};
    int fd;

    (void)state;
    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", 3);
    ledger_close(ledger);
    memset(noise, 0xa5, sizeof(noise));
    fd = open(place.path, O_WRONLY);
    for (off_t page = 1; page < 160; page++) {
        assert_int_equal(pwrite(fd, noise, sizeof(noise), page * 4096), sizeof(noise));
    }
    close(fd);
    must_refuse_here(ERR_LEDGER, "malformed");
    fd = open(place.path, O_WRONLY);
    assert_int_equal(pwrite(fd, noise, 200, 100), 200);
    close(fd);
    must_refuse_here(ERR_LEDGER, place.path);
    assert_false(ledger_open_to_read(place.path, &ledger, &err));
    assert_int_equal(err.kind, ERR_LEDGER);
    ledger_inputs_deinit(&inputs);
    ledger_outputs_deinit(&outputs);
}

static void a_dropped_table_is_one_clear_message(void **state)
{
    struct ledger *ledger;
    struct ledger_inputs inputs;
    struct err err = {0};

    (void)state;
    ledger_close(must_open(&place));
    tell(&place, "DELETE FROM oncesink_ledger");
    must_refuse_here(ERR_LEDGER, "no row in oncesink_ledger");
    unlink(place.path);
    ledger = must_open(&place);
    tell(&place, "DROP TABLE oncesink_input");
    assert_false(ledger_inputs_load(ledger, &inputs, &err));
    assert_non_null(strstr(err.text, "no such table: oncesink_input"));
    ledger_close(ledger);
}

static void a_second_owner_is_refused_with_the_firsts_pid(void **state)
{
    struct ledger *ledger = must_open(&place);
    char words[64];
    char link_path[128];
    const struct ledger_options by_link = {.path = link_path, .job = "job", .create = true};

    (void)state;
    snprintf(words, sizeof(words), "process %ld holds its lock", (long)getpid());
    must_refuse_here(ERR_LOCKED, words); /* an OFD lock excludes the same process, too */
    snprintf(link_path, sizeof(link_path), "%s/link.db", place.directory);
    assert_int_equal(symlink(place.path, link_path), 0);
    must_refuse(&by_link, ERR_LOCKED, words);
    assert_int_equal(ledger_lock_owner(ledger), getpid());
    ledger_close(ledger);
    ledger_close(must_open(&place));
}

static void the_lock_ends_with_its_process(void **state)
{
    int ready[2];
    char byte;
    pid_t child;
    char words[64];

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        must_open(&place);
        (void)!write(ready[1], "x", 1);
        for (;;) {
            pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    snprintf(words, sizeof(words), "process %ld", (long)child);
    must_refuse_here(ERR_LOCKED, words);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    ledger_close(must_open(&place));
    close(ready[0]);
    close(ready[1]);
}

static void network_file_systems_are_known_by_their_numbers(void **state)
{
    (void)state;
    assert_true(ledger_lock_is_network(0x6969));
    assert_true(ledger_lock_is_network(0xfe534d42));
    assert_false(ledger_lock_is_network(0xef53));     /* ext4 */
    assert_false(ledger_lock_is_network(0x01021994)); /* tmpfs */
    assert_false(ledger_lock_is_network(0x9123683e)); /* btrfs */
    assert_false(ledger_lock_is_network(0x58465342)); /* xfs */
}

static void a_file_moved_or_replaced_under_its_owner_is_noticed(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct err err = {0};
    char away[128];

    (void)state;
    must(ledger_check_file(ledger, &err));
    snprintf(away, sizeof(away), "%s/away.db", place.directory);
    assert_int_equal(rename(place.path, away), 0);
    assert_false(ledger_check_file(ledger, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    write_file(place.path, "", 0);
    assert_false(ledger_check_file(ledger, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "another file"));
    ledger_close(ledger);
}

static void incarnations_are_known_for_ever_and_only_once(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct ledger_identity identity;
    bool known = false;
    struct err err = {0};

    (void)state;
    must_start(ledger, "0000000a");
    must_start(ledger, "0000000b");
    must(ledger_new_producer(ledger, "0000000c", 5, &err));
    assert_false(ledger_start(ledger, "0000000a", 5, &err));
    ledger_identity(ledger, &identity);
    assert_string_equal(identity.incarnation, "0000000c");
    must(ledger_knows_incarnation(ledger, "0000000a", &known, &err));
    assert_true(known);
    must(ledger_knows_incarnation(ledger, "0000000c", &known, &err));
    assert_true(known);
    must(ledger_knows_incarnation(ledger, "0000000d", &known, &err));
    assert_false(known);
    assert_int_equal(ask_integer(&place, "SELECT starts FROM totals"), 2);
    assert_int_equal(
        ask_integer(&place, "SELECT count(*) FROM events WHERE kind IN ('start', 'producer')"), 3);
    ledger_close(ledger);
}

/* ---- a person's locks ---- */

static bool after_some_questions(void *arg)
{
    int *left = arg;

    return --*left < 0;
}

static bool event(struct ledger *ledger, struct err *err)
{
    return ledger_event(ledger, EVENT_TOPIC, 0, 1, err, "a %s", "word");
}

static void a_persons_write_transaction_is_waited_for_until_stopped(void **state)
{
    int questions = 20;
    const struct ledger_options options = {.path = place.path,
                                           .job = "job",
                                           .create = true,
                                           .stopped = after_some_questions,
                                           .stopped_arg = &questions};
    struct ledger *ledger = NULL;
    sqlite3 *person = NULL;
    struct err err = {0};

    (void)state;
    must(ledger_open(&options, &ledger, &err));
    assert_int_equal(sqlite3_open(place.path, &person), SQLITE_OK);
    assert_int_equal(sqlite3_exec(person, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(event(ledger, &err));
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_true(questions < 0);
    assert_int_equal(sqlite3_exec(person, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    must(event(ledger, &err)); /* the same call goes through when the lock is gone */
    sqlite3_close(person);
    ledger_close(ledger);
}

/* Another process holds the write lock for a while: the wait ends with it, and its log line names
 * the process. */
static void a_persons_write_transaction_is_waited_out_and_named(void **state)
{
    struct ledger *ledger = must_open(&place);
    int ready[2];
    int log[2];
    char text[1024] = "";
    char words[64];
    char byte;
    pid_t child;
    int old_stderr;
    struct err err = {0};

    (void)state;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(log), 0);
    child = fork();
    if (child == 0) {
        sqlite3 *person = NULL;

        sqlite3_open(place.path, &person);
        sqlite3_exec(person, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        (void)!write(ready[1], "x", 1);
        usleep(1300000);
        sqlite3_exec(person, "COMMIT", NULL, NULL, NULL);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    old_stderr = dup(STDERR_FILENO);
    dup2(log[1], STDERR_FILENO);
    const bool done = event(ledger, &err);
    dup2(old_stderr, STDERR_FILENO);
    assert_int_equal(waitpid(child, NULL, 0), child);
    must(done);
    struct pollfd readable = {.fd = log[0], .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 0), 1);
    assert_true(read(log[0], text, sizeof(text) - 1) > 0);
    snprintf(words, sizeof(words), "process %ld has had a write transaction open", (long)child);
    if (strstr(text, words) == NULL) {
        fail_msg("'%s' isn't in: %s", words, text);
    }
    must(event(ledger, &err)); /* the descriptor that asked did no harm to SQLite's own locks */
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM events"), 2);
    close(old_stderr);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(log[i]);
    }
    ledger_close(ledger);
}

static void a_reader_sees_one_moment_and_stops_nobody(void **state)
{
    struct ledger *ledger = must_open(&place);
    sqlite3 *person = NULL;
    struct err err = {0};

    (void)state;
    assert_int_equal(sqlite3_open_v2(place.path, &person, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(person, "BEGIN; SELECT * FROM events", NULL, NULL, NULL),
                     SQLITE_OK);
    must(event(ledger, &err));
    ledger_tidy(ledger);
    assert_int_equal(sqlite3_exec(person, "SELECT * FROM events; COMMIT", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(person);
    ledger_close(ledger);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_ledger_has_the_settings_that_its_promises_need),
        TEST(double_quoted_strings_are_off),
        TEST(what_is_not_a_ledger_is_refused_and_left_alone),
        TEST(a_newer_ledger_is_refused_with_its_version),
        TEST(an_older_ledger_is_brought_up_to_date_with_all_that_is_in_it),
        TEST(a_ledger_that_is_not_there_is_made_only_on_demand),
        TEST(another_jobs_ledger_is_refused),
        TEST(a_directory_and_a_missing_directory_are_refused),
        TEST(a_time_that_no_clock_tells_is_refused),
        TEST(a_damaged_ledger_is_refused_or_reads_as_damaged),
        TEST(a_dropped_table_is_one_clear_message),
        TEST(a_second_owner_is_refused_with_the_firsts_pid),
        TEST(the_lock_ends_with_its_process),
        TEST(network_file_systems_are_known_by_their_numbers),
        TEST(a_file_moved_or_replaced_under_its_owner_is_noticed),
        TEST(incarnations_are_known_for_ever_and_only_once),
        TEST(a_persons_write_transaction_is_waited_for_until_stopped),
        TEST(a_persons_write_transaction_is_waited_out_and_named),
        TEST(a_reader_sees_one_moment_and_stops_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
