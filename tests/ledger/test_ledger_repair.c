/* What oncesink-recover does to a ledger leaves it sound: numbers moved on, starts learned, fences
 * moved; and a backup is whole, alone, and never over another file. */
#include "support_ledger.h"

#include "ledger_repair.h"
#include "ledger_verify.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTITIONS = 2 };

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

static void plan(struct ledger *ledger, int64_t number, int64_t from)
{
    struct batch batch;
    struct err err = {0};

    sample_batch(&batch, number, PARTITIONS, from, 100);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch.definition, &err));
    must(ledger_plan(ledger, &batch, &err));
    must(ledger_commit(ledger, &err));
    batch_deinit(&batch);
}

static void settle(struct ledger *ledger, int64_t number, int64_t from)
{
    struct batch batch;
    struct outcome outcome;
    struct err err = {0};

    sample_batch(&batch, number, PARTITIONS, from, 100);
    outcome_make(&outcome, &batch);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_commit(ledger, &err));
    outcome_free(&outcome);
    batch_deinit(&batch);
}

/* Batch 1 settled, batch 2 in doubt. */
static struct ledger *live(void)
{
    struct ledger *ledger = must_open(&place);

    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", PARTITIONS);
    plan(ledger, 1, 0);
    settle(ledger, 1, 0);
    plan(ledger, 2, 100);
    return ledger;
}

static void on_finding(void *arg, const char *check, const char *finding, const char *json)
{
    (void)arg;
    (void)json;
    print_error("%s: %s\n", check, finding);
}

static void assert_sound(const char *path)
{
    struct ledger *reader = NULL;
    struct err err = {0};
    int64_t count = -1;

    must(ledger_open_to_read(path, &reader, &err));
    must(ledger_verify(reader, on_finding, NULL, &count, &err));
    ledger_close(reader);
    assert_int_equal(count, 0);
}

static void move_inputs(struct ledger *ledger, int64_t to)
{
    struct ledger_input input = {.topic = (char *)(uintptr_t) "a", .next_offset = to};
    struct err err = {0};

    input.leader_epoch = -1;
    for (input.partition = 0; input.partition < PARTITIONS; input.partition++) {
        must(ledger_input_put(ledger, &input, &err));
    }
}

static void move_outputs(struct ledger *ledger, int64_t to)
{
    struct ledger_output output = {.topic = (char *)(uintptr_t) "out", .next_offset = to};
    struct err err = {0};

    for (output.partition = 0; output.partition < PARTITIONS; output.partition++) {
        must(ledger_output_put(ledger, &output, &err));
    }
}

static void numbers_go_on_behind_what_another_process_settled(void **state)
{
    struct ledger *ledger = live();
    struct err err = {0};
    struct batch batch;
    bool found;

    (void)state;
    must(ledger_begin(ledger, &err));
    must(ledger_learn_incarnation(ledger, "0000000b", 5, &err));
    must(ledger_learn_incarnation(ledger, "0000000b", 6, &err));
    must(ledger_renumber(ledger, 7, &err));
    move_inputs(ledger, 700);
    move_outputs(ledger, 80);
    must(ledger_commit(ledger, &err));
    assert_sound(place.path);
    must(ledger_unsettled(ledger, &batch, &found, &err));
    assert_false(found);
    must(ledger_knows_incarnation(ledger, "0000000b", &found, &err));
    assert_true(found);
    plan(ledger, 8, 700);
    assert_sound(place.path);
    settle(ledger, 8, 700);
    assert_sound(place.path);
    ledger_close(ledger);
    ledger = must_open(&place);
    assert_int_equal(ask_integer(&place, "SELECT batch FROM oncesink_ledger"), 8);
    assert_int_equal(ask_integer(&place, "SELECT starts FROM totals"), 1);
    ledger_close(ledger);
}

static void a_batch_in_doubt_alone_is_dropped_and_planned_anew(void **state)
{
    struct ledger *ledger = live();
    struct err err = {0};

    (void)state;
    must(ledger_begin(ledger, &err));
    must(ledger_renumber(ledger, 1, &err));
    must(ledger_commit(ledger, &err));
    assert_sound(place.path);
    assert_int_equal(ask_integer(&place, "SELECT max(batch) FROM oncesink_batch"), 1);
    plan(ledger, 2, 100);
    settle(ledger, 2, 100);
    assert_sound(place.path);
    ledger_close(ledger);
}

static void what_was_rolled_back_was_not_done(void **state)
{
    struct ledger *ledger = live();
    struct err err = {0};

    (void)state;
    must(ledger_begin(ledger, &err));
    must(ledger_renumber(ledger, 7, &err));
    ledger_rollback(ledger);
    assert_sound(place.path);
    settle(ledger, 2, 100);
    assert_sound(place.path);
    ledger_close(ledger);
}

static void a_fence_of_the_batch_in_doubt_moves_down_too(void **state)
{
    struct ledger *ledger = live();
    const struct fence fence = {.topic = "out", .partition = 0, .offset = 3};
    struct err err = {0};

    (void)state;
    must(ledger_begin(ledger, &err));
    must(ledger_fence_move(ledger, 2, &fence, &err));
    must(ledger_commit(ledger, &err));
    assert_int_equal(ask_integer(&place, "SELECT fence_offset FROM oncesink_batch_output WHERE "
                                         "batch = 2 AND topic = 'out' AND partition = 0"),
                     3);
    assert_sound(place.path);
    ledger_close(ledger);
}

static void a_lost_ledger_keeps_its_uuid(void **state)
{
    static const char UUID[] = "0123456789abcdef0123456789abcdef";
    const struct ledger_options options = {
        .path = place.path, .job = "job", .create = true, .uuid = UUID};
    struct ledger_identity identity;
    struct ledger *ledger = NULL;
    struct err err = {0};

    (void)state;
    must(ledger_open(&options, &ledger, &err));
    ledger_identity(ledger, &identity);
    assert_string_equal(identity.uuid, UUID);
    must(ledger_begin(ledger, &err));
    must(ledger_learn_incarnation(ledger, "0000000c", 5, &err));
    must(ledger_renumber(ledger, 4, &err));
    move_inputs(ledger, 50);
    must(ledger_commit(ledger, &err));
    plan(ledger, 5, 50);
    assert_sound(place.path);
    ledger_close(ledger);
}

static void a_backup_is_one_file_and_whole(void **state)
{
    struct ledger *ledger = live();
    struct err err = {0};
    struct stat file;
    char copy[128];
    char beside[160];

    (void)state;
    snprintf(copy, sizeof(copy), "%s/copy.db", place.directory);
    must(ledger_backup(place.path, copy, &err));
    settle(ledger, 2, 100); /* the owner isn't held up, and its WAL isn't the copy's */
    assert_int_equal(stat(copy, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0640);
    snprintf(beside, sizeof(beside), "%s-wal", copy);
    assert_int_equal(access(beside, F_OK), -1);
    assert_sound(copy);
    assert_int_equal(access(beside, F_OK), -1);
    assert_false(ledger_backup(place.path, copy, &err));
    assert_int_equal(err.kind, ERR_USAGE);
    assert_sound(copy);
    ledger_close(ledger);
    must(rename(copy, place.path) == 0);
    ledger = must_open(&place);
    settle(ledger, 2, 100); /* as of its moment: batch 2 in doubt */
    ledger_close(ledger);
}

static void a_backup_that_fails_leaves_nothing(void **state)
{
    struct ledger *ledger = live();
    struct err err = {0};
    char copy[128];

    (void)state;
    snprintf(copy, sizeof(copy), "%s/nowhere/copy.db", place.directory);
    assert_false(ledger_backup(place.path, copy, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.text, strerror(ENOENT)));
    assert_false(ledger_backup(copy, place.path, &err));
    assert_int_equal(err.kind, ERR_LEDGER);
    ledger_close(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_go_on_behind_what_another_process_settled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_batch_in_doubt_alone_is_dropped_and_planned_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_rolled_back_was_not_done, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fence_of_the_batch_in_doubt_moves_down_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_lost_ledger_keeps_its_uuid, setup, teardown),
        cmocka_unit_test_setup_teardown(a_backup_is_one_file_and_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_backup_that_fails_leaves_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
