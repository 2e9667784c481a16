/* The split over partitions, against tables of numbers (tests/conformance: made by hand and by
 * Spark itself), and the rules that those tables don't show: the clamp to what is there, the limit
 * that is named, batch.max.records. */
#include "rate_split.h"

#include "support_table.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHARES_MAX = 64 };

struct row {
    char id[32];
    struct rate_split split;
    struct rate_share shares[SHARES_MAX];
    size_t count;
};

/* N,N,… */
static size_t read_list(const char *text, int64_t *numbers)
{
    size_t count = 0;
    char *end;

    for (;;) {
        assert_true(count < SHARES_MAX);
        numbers[count++] = strtoll(text, &end, 10);
        assert_true(end != text);
        if (*end == '\0') {
            return count;
        }
        assert_int_equal(*end, ',');
        text = end + 1;
    }
}

static void read_row(const struct table *table, struct row *row)
{
    char *const *fields = table->fields;
    int64_t caps[SHARES_MAX];
    int64_t minimums[SHARES_MAX];
    int64_t currents[SHARES_MAX];
    int64_t latests[SHARES_MAX];

    assert_int_equal(table->count, 11);
    *row = (struct row){0};
    snprintf(row->id, sizeof(row->id), "%s", fields[0]);
    row->split = (struct rate_split){
        .interval_ms = strtoll(fields[1], NULL, 10),
        .backpressure = strcmp(fields[2], "on") == 0,
        .first_unlimited = strcmp(fields[3], "first") == 0,
        .rate = strtoll(fields[4], NULL, 10),
        .initial = strtoll(fields[5], NULL, 10),
    };
    row->count = read_list(fields[6], caps);
    assert_int_equal(read_list(fields[7], minimums), row->count);
    assert_int_equal(read_list(fields[8], currents), row->count);
    assert_int_equal(read_list(fields[9], latests), row->count);
    for (size_t i = 0; i < row->count; i++) {
        row->shares[i] = (struct rate_share){
            .current = currents[i], .latest = latests[i], .cap = caps[i], .minimum = minimums[i]};
    }
}

static void check_row(const struct row *row, const char *expected)
{
    struct row answered = *row;
    int64_t takes[SHARES_MAX];
    enum limited_by limited;
    bool unlimited = strcmp(expected, "-") == 0;

    if (!unlimited) {
        assert_int_equal(read_list(expected, takes), row->count);
    }
    rate_split(&row->split, answered.shares, row->count, &limited);
    for (size_t i = 0; i < row->count; i++) {
        const struct rate_share *share = &answered.shares[i];
        int64_t there = share->latest > share->current ? share->latest - share->current : 0;
        int64_t take = unlimited ? INT64_MAX : takes[i];

        if (share->take != take) {
            fail_msg("%s partition %zu: take %" PRId64 ", expected %" PRId64, row->id, i,
                     share->take, take);
        }
        assert_int_equal(share->until - share->current, take < there ? take : there);
    }
}

static void check_table(const char *name, size_t rows_expected)
{
    static struct table table;
    size_t rows = 0;

    table_open(&table, name);
    while (table_take(&table)) {
        struct row row;

        read_row(&table, &row);
        check_row(&row, table.fields[10]);
        rows++;
    }
    assert_int_equal(rows, rows_expected);
}

static void it_agrees_with_the_rule_table(void **state)
{
    (void)state;
    check_table("split.txt", 28);
}

static void it_agrees_with_spark(void **state)
{
    (void)state;
    check_table("spark-split.txt", 200);
}

static struct rate_share share_of(int64_t current, int64_t latest, int64_t cap)
{
    return (struct rate_share){.current = current, .latest = latest, .cap = cap, .minimum = 1};
}

static void no_limit_takes_all_and_names_none(void **state)
{
    struct rate_split split = {.interval_ms = 1000};
    struct rate_share shares[] = {share_of(5, 900, 0), share_of(7, 7, 0)};
    enum limited_by limited = LIMITED_CAP;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].until, 900);
    assert_int_equal(shares[1].until, 7);
    assert_int_equal(limited, LIMITED_NONE);
    rate_split(&split, shares, 0, &limited);
    assert_int_equal(limited, LIMITED_NONE);
}

static void a_limit_that_cuts_nothing_is_not_named(void **state)
{
    struct rate_split split = {.interval_ms = 1000};
    struct rate_share shares[] = {share_of(0, 100, 100)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 1, &limited);
    assert_int_equal(shares[0].until, 100);
    assert_int_equal(limited, LIMITED_NONE);
}

static void an_end_below_the_position_is_no_negative_range(void **state)
{
    struct rate_split split = {.interval_ms = 1000, .records_max = 10};
    struct rate_share shares[] = {share_of(500, 20, 50), share_of(0, 30, 50)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].until, 500);
    assert_int_equal(shares[1].until, 10);
}

static void each_limit_is_named_where_it_cuts(void **state)
{
    static const struct {
        struct rate_split split;
        int64_t cap;
        enum limited_by limited;
        int64_t take;
    } CASES[] = {
        {{.interval_ms = 1000}, 10, LIMITED_CAP, 10},
        {{.interval_ms = 1000, .backpressure = true, .initial = 20}, 0, LIMITED_INITIAL, 20},
        {{.interval_ms = 1000, .backpressure = true, .initial = 20, .rate = 30},
         0,
         LIMITED_ESTIMATOR,
         30},
        {{.interval_ms = 1000, .backpressure = true, .rate = 30}, 25, LIMITED_CAP, 25},
        {{.interval_ms = 1000, .backpressure = true, .rate = 25}, 30, LIMITED_ESTIMATOR, 25},
        {{.interval_ms = 10}, 10, LIMITED_MINIMUM, 1},
        {{.interval_ms = 1000, .records_max = 5}, 10, LIMITED_RECORDS, 5},
        {{.interval_ms = 1000, .records_max = 5}, 0, LIMITED_RECORDS, 5},
        {{.interval_ms = 1000, .initial = 20, .rate = 30}, 10, LIMITED_CAP, 10}, /* it is off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct rate_share share = share_of(100, 5000, CASES[i].cap);
        enum limited_by limited;

        rate_split(&CASES[i].split, &share, 1, &limited);
        assert_int_equal(share.take, CASES[i].take);
        assert_int_equal(share.until, 100 + CASES[i].take);
        assert_int_equal(limited, CASES[i].limited);
    }
}

static void without_an_interval_a_batch_waits_until_the_caps_are_worth_something(void **state)
{
    static const struct {
        int64_t passed_ms, smallest, largest, minimum;
        bool worth;
    } CASES[] = {
        {0, 0, 0, 1, true}, /* no cap */
        {0, 10, 10, 1, false},     {99, 10, 10, 1, false},
        {100, 10, 10, 1, true},    {100, 10, 10, 2, false},
        {100, 10, 10, 0, true}, /* a record at least, also without a minimum */
        {99, 10, 10, 0, false},    {99, 10, 5000, 1, false}, /* the slow one's cap is kept */
        {100, 10, 5000, 1, true},  {999, 1, 5000, 50, false},
        {1000, 1, 5000, 50, true}, /* the fast one doesn't wait for ever */
        {1000, 10, 10, 50, false}, {5000, 10, 10, 50, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (rate_split_is_worth_it(CASES[i].passed_ms, CASES[i].smallest, CASES[i].largest,
                                   CASES[i].minimum) != CASES[i].worth) {
            fail_msg("case %zu", i);
        }
    }
}

static void the_rate_in_force_is_the_estimator_s_or_else_the_initial_one(void **state)
{
    struct rate_split split = {.backpressure = true, .initial = 20, .rate = 30};

    (void)state;
    assert_int_equal(rate_split_rate(&split), 30);
    split.rate = 0;
    assert_int_equal(rate_split_rate(&split), 20);
    split.initial = 0;
    assert_int_equal(rate_split_rate(&split), 0);
    split = (struct rate_split){.initial = 20, .rate = 30};
    assert_int_equal(rate_split_rate(&split), 0);
}

static void the_limit_that_holds_back_most_is_named(void **state)
{
    struct rate_split split = {.interval_ms = 1000, .backpressure = true, .rate = 100};
    /* Shares of the rate: 90 and 10; the cap of 5 cuts the second one to 5. */
    struct rate_share shares[] = {share_of(0, 900, 0), share_of(0, 100, 5)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].take, 90);
    assert_int_equal(shares[1].take, 5);
    assert_int_equal(limited, LIMITED_ESTIMATOR);
}

static void a_cap_of_none_beside_a_positive_one_gives_the_minimum(void **state)
{
    struct rate_split split = {.interval_ms = 2000};
    struct rate_share shares[] = {share_of(0, 100, 10), share_of(0, 100, 0)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].take, 20);
    assert_int_equal(shares[1].take, 1);
}

static void records_max_is_shared_out_by_what_is_there(void **state)
{
    struct rate_split split = {.interval_ms = 1000, .records_max = 10};
    struct rate_share shares[] = {share_of(0, 1, 0), share_of(10, 10, 0), share_of(0, 50, 0),
                                  share_of(0, 49, 0)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 4, &limited);
    /* 0.1, 0, 5, 4.9 → 0, 0, 5, 4; the one that remains goes to the first that wants it. */
    assert_int_equal(shares[0].take, 1);
    assert_int_equal(shares[1].take, 0);
    assert_int_equal(shares[2].take, 5);
    assert_int_equal(shares[3].take, 4);
    assert_int_equal(limited, LIMITED_RECORDS);
}

static void records_max_comes_after_the_caps(void **state)
{
    struct rate_split split = {.interval_ms = 1000, .records_max = 60};
    struct rate_share shares[] = {share_of(0, 100000, 100), share_of(0, 20, 100)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].take, 50);
    assert_int_equal(shares[1].take, 10);
    split.records_max = 120; /* exactly what the caps leave */
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].take, 100);
    assert_int_equal(shares[1].until, 20);
    assert_int_equal(limited, LIMITED_CAP);
}

/* Whatever the numbers: a batch of batch.max.records takes exactly that many when there are
 * more. */
static void records_max_is_kept_to_the_record(void **state)
{
    uint64_t random = 88172645463325252ULL;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct rate_share shares[16];
        struct rate_split split = {.interval_ms = 1000};
        enum limited_by limited;
        int64_t there = 0;
        int64_t taken = 0;

        for (size_t i = 0; i < 16; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            shares[i] = share_of(3, 3 + (int64_t)(random >> (20 + random % 40)), 0);
            there += shares[i].latest - shares[i].current;
        }
        split.records_max = 1 + (int64_t)(random % (uint64_t)(there + 1));
        rate_split(&split, shares, 16, &limited);
        for (size_t i = 0; i < 16; i++) {
            assert_true(shares[i].until >= shares[i].current);
            assert_true(shares[i].until <= shares[i].latest);
            taken += shares[i].until - shares[i].current;
        }
        assert_int_equal(taken, there < split.records_max ? there : split.records_max);
    }
}

static void huge_numbers_saturate(void **state)
{
    struct rate_split split = {.interval_ms = INT64_MAX};
    struct rate_share shares[] = {share_of(INT64_MAX - 5, INT64_MAX, INT64_MAX),
                                  share_of(0, INT64_MAX, INT64_MAX)};
    enum limited_by limited;

    (void)state;
    rate_split(&split, shares, 2, &limited);
    assert_int_equal(shares[0].take, INT64_MAX);
    assert_int_equal(shares[0].until, INT64_MAX);
    assert_int_equal(shares[1].until, INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_the_rule_table),
        cmocka_unit_test(it_agrees_with_spark),
        cmocka_unit_test(no_limit_takes_all_and_names_none),
        cmocka_unit_test(a_limit_that_cuts_nothing_is_not_named),
        cmocka_unit_test(an_end_below_the_position_is_no_negative_range),
        cmocka_unit_test(each_limit_is_named_where_it_cuts),
        cmocka_unit_test(without_an_interval_a_batch_waits_until_the_caps_are_worth_something),
        cmocka_unit_test(the_rate_in_force_is_the_estimator_s_or_else_the_initial_one),
        cmocka_unit_test(the_limit_that_holds_back_most_is_named),
        cmocka_unit_test(a_cap_of_none_beside_a_positive_one_gives_the_minimum),
        cmocka_unit_test(records_max_is_shared_out_by_what_is_there),
        cmocka_unit_test(records_max_comes_after_the_caps),
        cmocka_unit_test(records_max_is_kept_to_the_record),
        cmocka_unit_test(huge_numbers_saturate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
