/* What marks and outputs prove of a job whose ledger is lost or was left behind (evidence.h). */
#include "evidence.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct provenance of(int64_t batch, int32_t partition, int64_t offset)
{
    struct provenance provenance = {
        .incarnation = "0000000a", .batch = batch, .topic = "in", .partition = partition};

    provenance.offset = offset;
    return provenance;
}

static void add(struct evidence *evidence, size_t output, int64_t at, int64_t batch,
                int32_t partition, int64_t offset)
{
    struct provenance provenance = of(batch, partition, offset);

    evidence_add(evidence, output, at, &provenance, false);
}

static struct evidence_place place(int64_t ledger, int64_t group, int64_t mark_batch)
{
    return (struct evidence_place){
        .topic = "in", .partition = 0, .ledger = ledger, .group = group, .mark_batch = mark_batch};
}

static const struct evidence_case IDEMPOTENT = {
    .delivery = DELIVERY_IDEMPOTENT, .headers = true, .settled = 1};
static const struct evidence_case TRANSACTIONAL = {
    .delivery = DELIVERY_TRANSACTIONAL, .headers = true, .settled = 1};

/* Batches 2 (up to 19) and 3 (20 to 24 so far), over two outputs. */
static void fill(struct evidence *evidence)
{
    evidence_init(evidence, 2);
    add(evidence, 0, 100, 2, 0, 18);
    add(evidence, 1, 200, 2, 0, 19);
    add(evidence, 0, 101, 3, 0, 20);
    add(evidence, 1, 201, 3, 0, 24);
}

static void the_last_batch_is_in_doubt_from_where_the_one_before_ended(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, -1, -1);
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &at, 1, &result, &err));
    assert_int_equal(result.batch, 3);
    assert_int_equal(result.settled, 2);
    assert_int_equal(at.next, 20);
    assert_int_equal(at.until, 25);
    assert_int_equal(evidence.outputs[0].last_earlier, 100);
    assert_int_equal(evidence.outputs[1].last, 201);
    evidence_deinit(&evidence);
}

static void the_order_in_which_outputs_are_read_does_not_matter(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, -1, -1);
    struct evidence_result result;
    struct err err;

    (void)state;
    evidence_init(&evidence, 2);
    add(&evidence, 1, 201, 3, 0, 24);
    add(&evidence, 1, 200, 2, 0, 19);
    add(&evidence, 0, 101, 3, 0, 20);
    add(&evidence, 0, 100, 2, 0, 18);
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &at, 1, &result, &err));
    assert_int_equal(at.next, 20);
    assert_int_equal(at.until, 25);
    assert_int_equal(evidence.outputs[0].first, 100);
    assert_int_equal(evidence.outputs[0].first_batch, 2);
    evidence_deinit(&evidence);
}

static void a_mark_tells_where_a_batch_ended_without_records_there(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, 20, 2); /* 19 was the last record, 20 the end */
    struct evidence_result result;
    struct err err;

    (void)state;
    evidence_init(&evidence, 1);
    add(&evidence, 0, 100, 2, 0, 15);
    add(&evidence, 0, 101, 3, 0, 21);
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &at, 1, &result, &err));
    assert_int_equal(at.next, 20);
    assert_int_equal(at.until, 22);
    evidence_deinit(&evidence);
}

static void the_mark_of_the_last_batch_proves_it_whole(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, 30, 3);
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    evidence.outputs[0].lost = true; /* nothing more has to be told */
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &at, 1, &result, &err));
    assert_int_equal(result.settled, 3);
    assert_int_equal(at.next, 30);
    assert_true(at.until < 0);
    evidence_deinit(&evidence);
}

static void in_transactional_mode_nothing_is_in_doubt(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, -1, -1);
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    assert_true(evidence_conclude(&evidence, &TRANSACTIONAL, &at, 1, &result, &err));
    assert_int_equal(result.settled, 3);
    assert_int_equal(at.next, 25);
    evidence_deinit(&evidence);
}

static void offsets_that_a_person_moved_prove_nothing(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, 1000, -1);
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &at, 1, &result, &err));
    assert_int_equal(at.next, 20);
    evidence_deinit(&evidence);
}

static void a_source_that_the_last_batch_has_nothing_of_goes_on_where_it_was(void **state)
{
    struct evidence evidence;
    struct evidence_place at[2] = {place(10, -1, -1), place(7, -1, -1)};
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    at[1].partition = 1;
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, at, 2, &result, &err));
    assert_int_equal(at[1].next, 7);
    assert_true(at[1].until < 0);
    evidence_deinit(&evidence);
}

static void refused(struct evidence *evidence, const struct evidence_case *how,
                    struct evidence_place *at, const char *word)
{
    struct evidence_result result;
    struct err err;

    assert_false(evidence_conclude(evidence, how, at, 1, &result, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, word));
}

static void records_that_are_lost_are_missed_when_they_could_have_told(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, -1, -1);
    struct evidence_place marked = place(10, 20, 2);
    struct evidence_result result;
    struct err err;

    (void)state;
    fill(&evidence);
    evidence.outputs[0].lost = true;
    refused(&evidence, &IDEMPOTENT, &at, "can't be proved");
    /* With the mark of batch 2, only records of batch 3 could tell more; those lost are older. */
    assert_true(evidence_conclude(&evidence, &IDEMPOTENT, &marked, 1, &result, &err));
    evidence_deinit(&evidence);
    evidence_init(&evidence, 1);
    add(&evidence, 0, 101, 3, 0, 20); /* nothing older is left: the lost ones may be of batch 3 */
    evidence.outputs[0].lost = true;
    refused(&evidence, &IDEMPOTENT, &marked, "can't be proved");
    evidence_deinit(&evidence);
}

static void without_headers_only_a_transaction_s_mark_proves(void **state)
{
    struct evidence_case how = IDEMPOTENT;
    struct evidence evidence;
    struct evidence_place at = place(10, 30, 3);
    struct evidence_result result;
    struct err err;

    (void)state;
    evidence_init(&evidence, 0);
    how.headers = false;
    refused(&evidence, &how, &at, "can't be proved");
    how.delivery = DELIVERY_TRANSACTIONAL;
    assert_true(evidence_conclude(&evidence, &how, &at, 1, &result, &err));
    assert_int_equal(at.next, 30);
    evidence_deinit(&evidence);
}

static void two_owners_are_noticed(void **state)
{
    struct evidence evidence;
    struct evidence_place at = place(10, -1, -1);

    (void)state;
    fill(&evidence);
    add(&evidence, 0, 150, 2, 0, 22); /* batch 2 of somebody else went further */
    refused(&evidence, &IDEMPOTENT, &at, "two processes");
    evidence_deinit(&evidence);
}

static void starts_are_told_once(void **state)
{
    struct evidence evidence;

    (void)state;
    fill(&evidence);
    evidence_add_start(&evidence, "0000000b");
    evidence_add_start(&evidence, "0000000a");
    assert_int_equal(evidence.start_count, 2);
    assert_int_equal(evidence_find(&evidence, "in", 0)->unknown, 24);
    assert_null(evidence_find(&evidence, "in", 1));
    evidence_deinit(&evidence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_batch_is_in_doubt_from_where_the_one_before_ended),
        cmocka_unit_test(the_order_in_which_outputs_are_read_does_not_matter),
        cmocka_unit_test(a_mark_tells_where_a_batch_ended_without_records_there),
        cmocka_unit_test(the_mark_of_the_last_batch_proves_it_whole),
        cmocka_unit_test(in_transactional_mode_nothing_is_in_doubt),
        cmocka_unit_test(offsets_that_a_person_moved_prove_nothing),
        cmocka_unit_test(a_source_that_the_last_batch_has_nothing_of_goes_on_where_it_was),
        cmocka_unit_test(records_that_are_lost_are_missed_when_they_could_have_told),
        cmocka_unit_test(without_headers_only_a_transaction_s_mark_proves),
        cmocka_unit_test(two_owners_are_noticed),
        cmocka_unit_test(starts_are_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
