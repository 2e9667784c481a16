/* The estimator's state in the ledger: it comes back as it was, and goes with its batch's
 * settling. */
#include "support_ledger.h"

#include "ledger_internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

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

static void must_plan(struct ledger *ledger, struct batch *batch)
{
    struct err err = {0};

    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch->definition, &err));
    must(ledger_plan(ledger, batch, &err));
    must(ledger_commit(ledger, &err));
}

static void must_settle(struct ledger *ledger, const struct batch *batch)
{
    struct outcome outcome;
    struct err err = {0};

    outcome_make(&outcome, batch);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_commit(ledger, &err));
    outcome_free(&outcome);
}

static struct ledger *with_inputs(int32_t partitions)
{
    struct ledger *ledger = must_open(&place);

    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", partitions);
    return ledger;
}

static void the_rate_comes_back_bit_for_bit(void **state)
{
    static const struct rate_estimate CASES[] = {
        {.time_ms = 1, .rate = 1.0 / 3, .error = -1e-300, .published = 0},
        {.time_ms = INT64_MAX, .rate = 1.7976931348623157e308, .error = 1e17 + 2},
        {.time_ms = 1700000000055, .rate = 1000, .error = 0},
        {.time_ms = 1700000000055,
         .rate = 830.29642857142846,
         .error = -4.9e-324,
         .published = 830},
        {.time_ms = 5, .rate = 9007199254740993.0, .error = 0.1, .published = INT64_MAX},
    };
    struct ledger *ledger = with_inputs(1);
    struct rate_estimate found;
    struct rate_estimate cold;
    struct err err = {0};

    (void)state;
    rate_estimate_init(&cold);
    must(ledger_rate_load(ledger, &found, &err));
    assert_true(found.first && found.time_ms == cold.time_ms && found.published == 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        must(ledger_begin(ledger, &err));
        must(ledger_rate_put(ledger, 3, &CASES[i], &err));
        must(ledger_commit(ledger, &err));
        ledger_close(ledger);
        ledger = must_open(&place);
        must(ledger_rate_load(ledger, &found, &err));
        assert_false(found.first);
        assert_int_equal(found.time_ms, CASES[i].time_ms);
        assert_int_equal(found.published, CASES[i].published);
        assert_memory_equal(&found.rate, &CASES[i].rate, sizeof(double));
        assert_memory_equal(&found.error, &CASES[i].error, sizeof(double));
    }
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_rate"), 1);
    ledger_close(ledger);
}

static void a_rate_goes_with_its_settling_or_not_at_all(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct rate_estimate found;
    struct outcome outcome;
    struct batch batch;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    outcome_make(&outcome, &batch);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    ledger_rollback(ledger);
    must(ledger_rate_load(ledger, &found, &err));
    assert_true(found.first);
    outcome.settlement.rate = NULL; /* a batch that doesn't count */
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_commit(ledger, &err));
    must(ledger_rate_load(ledger, &found, &err));
    assert_true(found.first);
    outcome_free(&outcome);
    batch_deinit(&batch);
    sample_batch(&batch, 2, 2, 100, 100);
    must_plan(ledger, &batch);
    must_settle(ledger, &batch);
    must(ledger_rate_load(ledger, &found, &err));
    assert_false(found.first);
    assert_int_equal(found.published, 285);
    assert_int_equal(found.time_ms, batch.started_ms + 50);
    batch_deinit(&batch);
    ledger_close(ledger);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_rate_comes_back_bit_for_bit),
        TEST(a_rate_goes_with_its_settling_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
