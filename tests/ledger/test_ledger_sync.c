/* Transactions that are committed ahead of the disk: when others see them, when they are on the
 * disk, and that nothing else forgets to get there. */
#include "support_fault_vfs.h"
#include "support_ledger.h"

#include "ledger_internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

enum { SLOW_MS = 200 };

static struct place place;
static struct ledger *ledger;

static int setup(void **state)
{
    (void)state;
    fault_vfs_install();
    place_make(&place);
    ledger = must_open(&place);
    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_vfs_slow_sync(0);
    ledger_close(ledger);
    place_remove(&place);
    fault_vfs_remove();
    return 0;
}

static bool put_input(int64_t offset, struct err *err)
{
    struct ledger_input input = {
        .topic = (char[]){"a"}, .partition = 0, .next_offset = offset, .leader_epoch = -1};

    return ledger_input_put(ledger, &input, err);
}

static bool write_offset(bool ahead, int64_t offset, struct err *err)
{
    return (ahead ? ledger_begin_ahead(ledger, err) : ledger_begin(ledger, err)) &&
           put_input(offset, err) && ledger_commit(ledger, err);
}

static int64_t offset_seen(void)
{
    return ask_integer(&place, "SELECT next_offset FROM oncesink_input");
}

static bool is_synced(bool wait)
{
    struct err err = {0};
    bool synced = false;

    must(ledger_synced(ledger, wait, &synced, &err));
    return synced;
}

/* How many syncs there had been before. */
static unsigned commit_while_syncs_are_slow(int64_t offset)
{
    const unsigned syncs = fault_vfs_syncs();
    struct err err = {0};

    fault_vfs_slow_sync(SLOW_MS);
    must(write_offset(true, offset, &err));
    return syncs;
}

static void a_commit_ahead_is_seen_at_once_and_synced_beside(void **state)
{
    unsigned syncs;

    (void)state;
    syncs = commit_while_syncs_are_slow(10);
    assert_int_equal(fault_vfs_syncs(), syncs);
    assert_int_equal(offset_seen(), 10);
    assert_false(is_synced(false));
    assert_true(is_synced(true));
    assert_int_equal(fault_vfs_syncs(), syncs + 1);
    assert_true(is_synced(false));
}

static void whatever_comes_next_waits_for_the_disk(void **state)
{
    struct ledger_inputs inputs = {0};
    unsigned syncs;
    struct err err = {0};

    (void)state;
    syncs = commit_while_syncs_are_slow(10);
    must(ledger_begin(ledger, &err));
    assert_int_equal(fault_vfs_syncs(), syncs + 1);
    ledger_rollback(ledger);
    must(write_offset(true, 20, &err));
    must(ledger_inputs_load(ledger, &inputs, &err));
    assert_int_equal(fault_vfs_syncs(), syncs + 2);
    ledger_inputs_deinit(&inputs);
    must(write_offset(true, 30, &err));
    must(write_offset(true, 40, &err));
    assert_int_equal(fault_vfs_syncs(), syncs + 3);
    ledger_close(ledger);
    assert_int_equal(fault_vfs_syncs() > syncs + 3, true); /* and what closing syncs */
    ledger = must_open(&place);
    assert_int_equal(offset_seen(), 40);
}

static void a_commit_behind_one_ahead_is_synced_by_itself(void **state)
{
    unsigned syncs;
    struct err err = {0};

    (void)state;
    must(write_offset(true, 10, &err));
    assert_true(is_synced(true));
    syncs = fault_vfs_syncs();
    must(write_offset(false, 20, &err));
    assert_int_equal(fault_vfs_syncs(), syncs + 1);
    assert_true(is_synced(false));
}

static void a_commit_behind_a_rollback_is_synced_by_itself(void **state)
{
    unsigned syncs;
    struct err err = {0};

    (void)state;
    must(ledger_begin_ahead(ledger, &err));
    must(put_input(10, &err));
    ledger_rollback(ledger);
    assert_int_equal(offset_seen(), 0);
    syncs = fault_vfs_syncs();
    must(write_offset(false, 20, &err));
    assert_int_equal(fault_vfs_syncs(), syncs + 1);
}

static void must_be_refused(const struct err *err)
{
    assert_int_equal(err->kind, ERR_LEDGER);
    assert_non_null(strstr(err->text, place.path));
}

/* It isn't known what the disk has then, and a later sync that succeeds wouldn't tell. */
static void after_a_sync_that_failed_nothing_goes_on(void **state)
{
    const struct fault_plan plan = {.calls = FAULT_SYNC, .kind = FAULT_IO_ERROR, .nth = 1};
    struct err err = {0};
    bool synced = true;

    (void)state;
    fault_vfs_arm(&plan);
    must(write_offset(true, 10, &err));
    assert_false(ledger_synced(ledger, true, &synced, &err));
    assert_true(fault_vfs_disarm());
    must_be_refused(&err);
    assert_false(ledger_synced(ledger, false, &synced, &err));
    must_be_refused(&err);
    assert_false(ledger_begin(ledger, &err));
    must_be_refused(&err);
    assert_false(ledger_begin_ahead(ledger, &err));
    must_be_refused(&err);
    ledger_close(ledger);
    ledger = must_open(&place);
    assert_int_equal(offset_seen(), 10);
    must_start(ledger, "0000000b");
}

/* Only the switch back to full syncs. */
static int deny(void *arg, int action, const char *name, const char *value, const char *database,
                const char *trigger)
{
    (void)arg;
    (void)database;
    (void)trigger;
    return action == SQLITE_PRAGMA && strcmp(name, "synchronous") == 0 && strcmp(value, "FULL") == 0
               ? SQLITE_DENY
               : SQLITE_OK;
}

static void a_commit_that_would_not_be_synced_is_not_begun(void **state)
{
    struct err err = {0};
    bool synced = false;

    (void)state;
    must(write_offset(true, 10, &err));
    must(ledger_synced(ledger, true, &synced, &err));
    sqlite3_set_authorizer(ledger->db, deny, NULL);
    assert_false(write_offset(false, 11, &err));
    assert_int_equal(err.kind, ERR_LEDGER);
    assert_int_equal(offset_seen(), 10);
    must(write_offset(true, 12, &err));
    sqlite3_set_authorizer(ledger->db, NULL, NULL);
    must(write_offset(false, 13, &err));
    assert_int_equal(offset_seen(), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_ahead_is_seen_at_once_and_synced_beside, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(whatever_comes_next_waits_for_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_behind_one_ahead_is_synced_by_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_commit_behind_a_rollback_is_synced_by_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_a_sync_that_failed_nothing_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_that_would_not_be_synced_is_not_begun, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
