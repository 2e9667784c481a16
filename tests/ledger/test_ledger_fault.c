/* Every I/O call that a batch's life makes fails once, in turn. Whatever fails, the ledger on the
 * disk is as it was before the transaction or as it is after it, a fresh connection and verify
 * agree, and the job can go on from there.
 *
 * The world is one step: settle batch 1 and plan batch 2 in one transaction. Before: batch 1 in
 * doubt, next offset 0, no rate. After: batch 2 in doubt, next offset 100, the rate as batch 1 left
 * it. */
#include "support_fault_vfs.h"
#include "support_ledger.h"

#include "ledger_verify.h"
#include "log.h"
#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 4, NTH_MAX = 2000 };

static struct place place;
static struct batch first;
static struct batch second;

static int setup(void **state)
{
    (void)state;
    fault_vfs_install();
    sample_batch(&first, 1, PARTITIONS, 0, 100);
    sample_batch(&second, 2, PARTITIONS, 100, 50);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_vfs_remove();
    batch_deinit(&first);
    batch_deinit(&second);
    return 0;
}

/* Batch 1 is planned, durably and without faults. */
static struct ledger *world_make(void)
{
    struct ledger *ledger;
    struct err err = {0};

    place_make(&place);
    ledger = must_open(&place);
    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", PARTITIONS);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &first.definition, &err));
    must(ledger_plan(ledger, &first, &err));
    must(ledger_commit(ledger, &err));
    return ledger;
}

/* Whether the step is committed ahead of the disk, which it then waits for. */
static bool ahead;

static bool do_step(struct ledger *ledger, struct err *err)
{
    struct outcome outcome;
    bool synced = true;
    bool done;

    outcome_make(&outcome, &first);
    done = (ahead ? ledger_begin_ahead(ledger, err) : ledger_begin(ledger, err)) &&
           ledger_settle(ledger, &outcome.settlement, err) &&
           ledger_define(ledger, &second.definition, err) && ledger_plan(ledger, &second, err) &&
           ledger_commit(ledger, err) && ledger_synced(ledger, true, &synced, err);
    if (!done) {
        ledger_rollback(ledger);
    }
    outcome_free(&outcome);
    return done && synced;
}

static void print_finding(void *arg, const char *check, const char *finding, const char *json)
{
    (void)arg;
    (void)json;
    print_error("%s: %s\n", check, finding);
}

static void must_be_sound(void)
{
    struct ledger *ledger = NULL;
    int64_t count = -1;
    struct err err = {0};

    must(ledger_open_to_read(place.path, &ledger, &err));
    must(ledger_verify(ledger, print_finding, NULL, &count, &err));
    assert_int_equal(count, 0);
    ledger_close(ledger);
}

/* 1: before, 2: after; anything else fails the test. */
static int64_t world_state(void)
{
    const int64_t batch = ask_integer(&place, "SELECT batch FROM in_doubt");

    assert_true(batch == 1 || batch == 2);
    assert_int_equal(ask_integer(&place, "SELECT sum(next_offset) FROM oncesink_input"),
                     batch == 1 ? 0 : 100 * PARTITIONS);
    assert_int_equal(ask_integer(&place, "SELECT records FROM totals"),
                     batch == 1 ? 0 : 100 * PARTITIONS);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_batch_range"),
                     PARTITIONS * batch);
    assert_int_equal(ask_integer(&place, "SELECT coalesce(max(batch), 0) FROM oncesink_rate"),
                     batch - 1);
    return batch;
}

static void must_be_an_error_that_names_the_file(const struct err *err, enum fault_kind kind)
{
    if (strstr(err->text, place.path) == NULL) {
        fail_msg("the file isn't named: %s", err->text);
    }
    assert_int_equal(err->kind, kind == FAULT_DISK_FULL ? ERR_LEDGER_FULL : ERR_LEDGER);
}

/* The step with the Nth call failing. The process lives on: the same transaction goes through when
 * it is tried again, as it is after ERR_LEDGER_FULL. */
static bool step_with_fault(const struct fault_plan *plan)
{
    struct ledger *ledger = world_make();
    struct err err = {0};
    bool done;
    bool hit;

    fault_vfs_arm(plan);
    done = do_step(ledger, &err);
    hit = fault_vfs_disarm();
    if (done) {
        assert_int_equal(world_state(), 2);
    } else {
        struct ledger_identity identity;

        assert_true(hit);
        must_be_an_error_that_names_the_file(&err, plan->kind);
        ledger_identity(ledger, &identity);
        assert_int_equal(identity.batch, 1);
        assert_int_equal(world_state(), 1);
        must(do_step(ledger, &err));
        assert_int_equal(world_state(), 2);
    }
    ledger_close(ledger);
    must_be_sound();
    place_remove(&place);
    return hit;
}

/* The same, but the process ends after the failure, without closing anything: a copy of the files
 * as they are then is what the next start finds. After a failed commit that may be either state. */
static bool step_with_fault_and_death(const struct fault_plan *plan)
{
    struct ledger *ledger = world_make();
    struct ledger_identity identity;
    char copy[512];
    struct err err = {0};
    bool done;
    bool hit;
    int64_t found;

    fault_vfs_arm(plan);
    done = do_step(ledger, &err);
    hit = fault_vfs_disarm();
    snprintf(copy, sizeof(copy), "mkdir %s/c && cp %s %s-wal %s/c/ 2>/dev/null", place.directory,
             place.path, place.path, place.directory);
    assert_int_equal(system(copy), 0);
    ledger_close(ledger);
    snprintf(copy, sizeof(copy), "cd %s && rm -f job.db* && mv c/* . && rmdir c", place.directory);
    assert_int_equal(system(copy), 0);
    ledger = must_open(&place);
    found = world_state();
    assert_true(!done || found == 2);
    ledger_identity(ledger, &identity);
    assert_int_equal(identity.batch, found);
    must_start(ledger, "0000000b");
    if (found == 1) {
        must(do_step(ledger, &err));
    }
    assert_int_equal(world_state(), 2);
    ledger_close(ledger);
    must_be_sound();
    place_remove(&place);
    return hit;
}

static void for_each_fault(bool (*world)(const struct fault_plan *), unsigned calls,
                           enum fault_kind kind, bool lasting, unsigned at_least)
{
    unsigned nth = 1;

    for (; nth <= NTH_MAX; nth++) {
        const struct fault_plan plan = {
            .calls = calls, .kind = kind, .nth = nth, .lasting = lasting};

        if (!world(&plan)) {
            break; /* a run passed untouched */
        }
    }
    print_message("%u faults\n", nth - 1);
    assert_true(nth > at_least && nth <= NTH_MAX);
}

static void a_failing_write_leaves_before_or_after(void **state)
{
    (void)state;
    for_each_fault(step_with_fault, FAULT_WRITE, FAULT_IO_ERROR, false, 8);
    for_each_fault(step_with_fault, FAULT_WRITE, FAULT_TORN, false, 8);
    ahead = true;
    for_each_fault(step_with_fault, FAULT_WRITE, FAULT_IO_ERROR, false, 8);
    for_each_fault(step_with_fault, FAULT_WRITE, FAULT_TORN, false, 8);
    ahead = false;
}

static void a_failing_sync_leaves_before_or_after(void **state)
{
    (void)state;
    for_each_fault(step_with_fault, FAULT_SYNC | FAULT_TRUNCATE | FAULT_SHM | FAULT_OPEN,
                   FAULT_IO_ERROR, false, 1);
}

static void a_full_disk_is_an_error_of_its_own_and_the_step_goes_through_later(void **state)
{
    (void)state;
    for_each_fault(step_with_fault, FAULT_WRITE | FAULT_SYNC, FAULT_DISK_FULL, true, 8);
    ahead = true;
    for_each_fault(step_with_fault, FAULT_WRITE, FAULT_DISK_FULL, true, 8);
    ahead = false;
}

static void a_process_that_dies_after_a_fault_starts_again_from_before_or_after(void **state)
{
    (void)state;
    for_each_fault(step_with_fault_and_death, FAULT_WRITE | FAULT_SYNC, FAULT_TORN, false, 8);
    for_each_fault(step_with_fault_and_death, FAULT_WRITE | FAULT_SYNC, FAULT_IO_ERROR, true, 8);
    ahead = true;
    for_each_fault(step_with_fault_and_death, FAULT_WRITE | FAULT_SYNC, FAULT_TORN, false, 8);
    for_each_fault(step_with_fault_and_death, FAULT_WRITE | FAULT_SYNC, FAULT_IO_ERROR, true, 8);
    ahead = false;
}

/* Opening: each call fails once, of a new ledger and of one that is there. Then it opens, whole. */
static void a_failing_open_leaves_nothing_that_a_later_one_cannot_use(void **state)
{
    unsigned nth = 1;
    bool hit = true;

    (void)state;
    for (; hit && nth <= NTH_MAX; nth++) {
        const struct fault_plan plan = {.calls = FAULT_ALL, .kind = FAULT_TORN, .nth = nth};
        const struct ledger_options options = {.path = place.path, .job = "job", .create = true};
        struct ledger *ledger = NULL;
        struct err err = {0};

        place_make(&place);
        fault_vfs_arm(&plan);
        const bool opened = ledger_open(&options, &ledger, &err);
        hit = fault_vfs_disarm();
        if (opened) {
            ledger_close(ledger);
        } else {
            assert_true(hit);
            assert_non_null(strstr(err.text, place.path));
        }
        ledger = must_open(&place);
        must_start(ledger, "0000000a");
        ledger_close(ledger);
        must_be_sound();
        fault_vfs_arm(&plan);
        if (ledger_open(&options, &ledger, &err)) {
            ledger_close(ledger);
        }
        hit = fault_vfs_disarm() || hit;
        ledger_close(must_open(&place));
        must_be_sound();
        place_remove(&place);
    }
    print_message("%u faults\n", nth - 2);
    assert_true(nth > 20 && nth <= NTH_MAX);
}

/* An older ledger with a batch in doubt is brought up to date: each call fails once. It stays as
 * old as it was, or is new; then it opens, and the batch goes on. */
static void a_failing_migration_leaves_the_older_ledger_or_the_newer_one(void **state)
{
    unsigned nth = 1;
    bool hit = true;

    (void)state;
    for (; hit && nth <= NTH_MAX; nth++) {
        const struct fault_plan plan = {.calls = FAULT_ALL, .kind = FAULT_TORN, .nth = nth};
        const struct ledger_options options = {.path = place.path, .job = "job", .create = true};
        struct ledger *ledger = world_make();
        struct err err = {0};

        ledger_close(ledger);
        make_older(&place, 1);
        fault_vfs_arm(&plan);
        const bool opened = ledger_open(&options, &ledger, &err);
        hit = fault_vfs_disarm();
        if (opened) {
            ledger_close(ledger);
        } else {
            assert_true(hit);
            assert_non_null(strstr(err.text, place.path));
        }
        assert_int_equal(ask_integer(&place, "SELECT batch FROM in_doubt"), 1);
        ledger = must_open(&place);
        assert_int_equal(world_state(), 1);
        must_start(ledger, "0000000b");
        must(do_step(ledger, &err));
        assert_int_equal(world_state(), 2);
        ledger_close(ledger);
        must_be_sound();
        place_remove(&place);
    }
    print_message("%u faults\n", nth - 2);
    assert_true(nth > 20 && nth <= NTH_MAX);
}

/* A checkpoint that fails loses nothing: what isn't copied is in the WAL. */
static void a_failing_checkpoint_loses_nothing(void **state)
{
    unsigned nth = 1;
    bool hit = true;

    (void)state;
    for (; hit && nth <= NTH_MAX; nth++) {
        const struct fault_plan plan = {.calls =
                                            FAULT_WRITE | FAULT_SYNC | FAULT_READ | FAULT_TRUNCATE,
                                        .kind = FAULT_TORN,
                                        .nth = nth};
        struct ledger *ledger = world_make();
        struct err err = {0};

        /* Big enough for ledger_tidy to do something. */
        must(ledger_begin(ledger, &err));
        for (int i = 0; i < 9; i++) {
            char *text = mem_zero(1024 * 1024 + 1);
            const struct fence fence = {.topic = "a_error", .partition = 0, .offset = 0};
            const struct ledger_record record = {.topic = "a",
                                                 .partition = 0,
                                                 .offset = i,
                                                 .key_size = -1,
                                                 .value = text,
                                                 .value_size = 1024 * 1024,
                                                 .headers_size = -1};

            must(ledger_fence_add(ledger, 1, &fence, &err));
            must(ledger_set_aside(ledger, 1, &record, "test", "a_error", 0, 1, &err));
            free(text);
        }
        must(ledger_commit(ledger, &err));
        fault_vfs_arm(&plan);
        ledger_tidy(ledger);
        hit = fault_vfs_disarm();
        assert_int_equal(ask_integer(&place, "SELECT sum(length(value)) FROM oncesink_set_aside"),
                         9 * 1024 * 1024);
        must(do_step(ledger, &err));
        assert_int_equal(world_state(), 2);
        ledger_close(ledger);
        must_be_sound();
        place_remove(&place);
        if (nth > 8) { /* hundreds of pages are written alike: the first ones, then every 151st */
            nth += 150;
        }
    }
    assert_true(nth > 8);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_failing_write_leaves_before_or_after),
        TEST(a_failing_sync_leaves_before_or_after),
        TEST(a_full_disk_is_an_error_of_its_own_and_the_step_goes_through_later),
        TEST(a_process_that_dies_after_a_fault_starts_again_from_before_or_after),
        TEST(a_failing_open_leaves_nothing_that_a_later_one_cannot_use),
        TEST(a_failing_migration_leaves_the_older_ledger_or_the_newer_one),
        TEST(a_failing_checkpoint_loses_nothing),
    };

    log_set_level(LOG_ERROR); /* warnings are what these tests make on purpose */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
