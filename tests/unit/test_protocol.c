/* Every move of a batch's life, and every row of what is concluded from what was found. */
#include "protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID       "0123456789abcdef0123456789abcdef"
#define OTHER_UUID "fedcba9876543210fedcba9876543210"

/* ---- moves ---- */

struct move_row {
    enum protocol_state from;
    enum protocol_move move;
    bool recovered;
    enum protocol_state to;
};

static const struct move_row ALLOWED[] = {
    {PROTOCOL_IDLE, PROTOCOL_PLAN, false, PROTOCOL_PLANNED},
    {PROTOCOL_IDLE, PROTOCOL_PLAN, true, PROTOCOL_PLANNED},
    {PROTOCOL_IDLE, PROTOCOL_FIND, false, PROTOCOL_IN_DOUBT},
    {PROTOCOL_IDLE, PROTOCOL_FIND, true, PROTOCOL_IN_DOUBT},
    {PROTOCOL_PLANNED, PROTOCOL_DELIVER, false, PROTOCOL_DELIVERING},
    {PROTOCOL_PLANNED, PROTOCOL_DELIVER, true, PROTOCOL_DELIVERING},
    {PROTOCOL_DELIVERING, PROTOCOL_FAIL, false, PROTOCOL_BROKEN},
    {PROTOCOL_DELIVERING, PROTOCOL_FAIL, true, PROTOCOL_BROKEN},
    {PROTOCOL_DELIVERING, PROTOCOL_ACKNOWLEDGE, false, PROTOCOL_DELIVERED},
    {PROTOCOL_DELIVERING, PROTOCOL_ACKNOWLEDGE, true, PROTOCOL_DELIVERED},
    {PROTOCOL_BROKEN, PROTOCOL_DESTROY, false, PROTOCOL_IN_DOUBT},
    {PROTOCOL_BROKEN, PROTOCOL_DESTROY, true, PROTOCOL_IN_DOUBT},
    {PROTOCOL_IN_DOUBT, PROTOCOL_READ_BACK, false, PROTOCOL_READ},
    {PROTOCOL_IN_DOUBT, PROTOCOL_READ_BACK, true, PROTOCOL_READ},
    {PROTOCOL_READ, PROTOCOL_DELIVER, false, PROTOCOL_DELIVERING},
    {PROTOCOL_READ, PROTOCOL_DELIVER, true, PROTOCOL_DELIVERING},
    {PROTOCOL_DELIVERED, PROTOCOL_SETTLE, false, PROTOCOL_IDLE},
    {PROTOCOL_DELIVERED, PROTOCOL_CHECK, true, PROTOCOL_CHECKED},
    {PROTOCOL_CHECKED, PROTOCOL_SETTLE, false, PROTOCOL_IDLE},
    {PROTOCOL_CHECKED, PROTOCOL_SETTLE, true, PROTOCOL_IDLE},
};
enum { ALLOWED_COUNT = sizeof(ALLOWED) / sizeof(ALLOWED[0]) };

static const struct move_row *row_of(int state, int move, int recovered)
{
    for (size_t i = 0; i < ALLOWED_COUNT; i++) {
        if ((int)ALLOWED[i].from == state && (int)ALLOWED[i].move == move &&
            ALLOWED[i].recovered == (recovered != 0)) {
            return &ALLOWED[i];
        }
    }
    return NULL;
}

static void exactly_the_drawn_moves_are_allowed(void **unused)
{
    (void)unused;
    for (int state = 0; state < PROTOCOL_STATE_COUNT; state++) {
        for (int move = 0; move < PROTOCOL_MOVE_COUNT; move++) {
            for (int recovered = 0; recovered < 2; recovered++) {
                const struct move_row *row = row_of(state, move, recovered);
                bool allowed = protocol_allows((enum protocol_state)state, (enum protocol_move)move,
                                               recovered != 0);

                assert_int_equal(allowed, row != NULL);
                if (row != NULL) {
                    assert_int_equal(protocol_next(row->from, row->move, row->recovered), row->to);
                }
            }
        }
    }
}

/* Every record that may go out does so from a state whose plan is durable and whose predecessor is
 * known. */
static void nothing_goes_out_while_the_outcome_is_unknown(void **unused)
{
    (void)unused;
    assert_false(protocol_allows(PROTOCOL_IDLE, PROTOCOL_DELIVER, false));
    assert_false(protocol_allows(PROTOCOL_BROKEN, PROTOCOL_DELIVER, true));
    assert_false(protocol_allows(PROTOCOL_IN_DOUBT, PROTOCOL_DELIVER, true));
}

static void a_recovered_batch_is_not_settled_without_the_check(void **unused)
{
    (void)unused;
    assert_false(protocol_allows(PROTOCOL_DELIVERED, PROTOCOL_SETTLE, true));
    assert_true(protocol_allows(PROTOCOL_DELIVERED, PROTOCOL_SETTLE, false));
}

/* ---- the settle wait ---- */

static void the_settle_wait_counts_from_the_later_of_its_beginning_and_our_last_record(
    void **unused)
{
    (void)unused;
    assert_false(protocol_wait_over(1999, 1000, -1, 1000));
    assert_true(protocol_wait_over(2000, 1000, -1, 1000));
    assert_false(protocol_wait_over(2000, 1000, 1500, 1000));
    assert_true(protocol_wait_over(2500, 1000, 1500, 1000));
    assert_true(protocol_wait_over(2000, 1000, 900, 1000));
    assert_true(protocol_wait_over(1000, 1000, -1, 0));
}

/* ---- a record found ---- */

static struct protocol_self self_of(int64_t settled, int64_t in_doubt)
{
    struct protocol_self self = {.uuid = UUID, .settled = settled, .in_doubt = in_doubt};

    memcpy(self.job, "0badcafe", PROVENANCE_JOB_SIZE);
    return self;
}

static struct provenance provenance_of(const char *job, const char *ledger, int64_t batch)
{
    struct provenance provenance = {.batch = batch};

    strncpy(provenance.job, job, sizeof(provenance.job) - 1);
    strncpy(provenance.ledger, ledger, sizeof(provenance.ledger) - 1);
    memcpy(provenance.incarnation, "12345678", sizeof(provenance.incarnation));
    return provenance;
}

static void each_row_of_the_table_of_found_records(void **unused)
{
    static const struct {
        const char *job, *ledger;
        int64_t batch, settled, in_doubt;
        bool known;
        enum found found;
    } ROWS[] = {
        {"0badcafe", "0123456789ab", 5, 4, 5, true, FOUND_IN_DOUBT},
        {"0badcafe", "0123456789ab", 4, 4, 5, true, FOUND_EARLIER},
        {"0badcafe", "0123456789ab", 1, 4, 0, true, FOUND_EARLIER},
        {"0badcafe", "0123456789ab", 5, 4, 0, true, FOUND_AHEAD},
        {"0badcafe", "0123456789ab", 6, 4, 5, true, FOUND_AHEAD},
        {"0badcafe", "0123456789ab", 5, 4, 0, false, FOUND_AHEAD},
        {"0badcafe", "0123456789ab", 5, 4, 5, false, FOUND_COPY},
        {"0badcafe", "0123456789ab", 3, 4, 5, false, FOUND_COPY},
        {"0badcafe", "fedcba987654", 5, 4, 5, true, FOUND_OTHER_LEDGER},
        {"0badcafe", "fedcba987654", 1, 0, 0, false, FOUND_OTHER_LEDGER},
        {"deadbeef", "0123456789ab", 5, 4, 5, true, FOUND_STRANGER},
        {"deadbeef", "fedcba987654", 9, 4, 5, false, FOUND_STRANGER},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct protocol_self self = self_of(ROWS[i].settled, ROWS[i].in_doubt);
        struct provenance provenance = provenance_of(ROWS[i].job, ROWS[i].ledger, ROWS[i].batch);

        assert_int_equal(protocol_judge_record(&self, &provenance, ROWS[i].known), ROWS[i].found);
    }
}

static void a_record_without_provenance_is_a_strangers(void **unused)
{
    struct protocol_self self = self_of(4, 5);

    (void)unused;
    assert_int_equal(protocol_judge_record(&self, NULL, true), FOUND_STRANGER);
}

/* ---- the mark ---- */

static void each_row_of_the_table_of_marks(void **unused)
{
    static const struct {
        bool present, all_ours, any_ours;
        const char *uuid;
        int64_t batch, settled, in_doubt;
        bool known;
        enum mark_verdict verdict;
    } ROWS[] = {
        {true, true, true, UUID, 4, 4, 0, true, MARK_FINE},
        {true, true, true, UUID, 4, 4, 5, true, MARK_FINE},
        {true, true, true, UUID, 3, 4, 0, true, MARK_BEHIND},
        {true, true, true, UUID, 3, 4, 5, true, MARK_BEHIND},
        {false, true, false, NULL, 0, 4, 0, false, MARK_BEHIND},
        {false, true, false, NULL, 0, 0, 0, false, MARK_BEHIND},
        {true, true, true, UUID, 5, 4, 0, true, MARK_AHEAD},
        /* Mark N is sent after N is settled: N in doubt with its mark there is a ledger that lost
         * its tail. */
        {true, true, true, UUID, 5, 4, 5, true, MARK_AHEAD},
        {true, true, true, UUID, 4, 4, 0, false, MARK_COPY},
        {true, true, true, UUID, 3, 4, 5, false, MARK_COPY},
        {true, true, true, UUID, 6, 4, 5, false, MARK_AHEAD},
        {true, true, true, OTHER_UUID, 1, 4, 0, false, MARK_OTHER_LEDGER},
        {true, true, true, OTHER_UUID, 9, 0, 0, false, MARK_OTHER_LEDGER},
        {true, false, false, NULL, 0, 4, 0, false, MARK_FOREIGN_TEXT},
        {true, false, false, NULL, 0, 0, 0, false, MARK_FOREIGN_TEXT},
        {true, false, true, UUID, 4, 4, 0, true, MARK_FOREIGN_TEXT},
        {true, false, true, UUID, 5, 4, 0, true, MARK_AHEAD},
        {true, false, true, OTHER_UUID, 5, 4, 0, true, MARK_OTHER_LEDGER},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct protocol_self self = self_of(ROWS[i].settled, ROWS[i].in_doubt);
        struct mark_found mark = {
            .present = ROWS[i].present,
            .all_ours = ROWS[i].all_ours,
            .any_ours = ROWS[i].any_ours,
            .incarnation_known = ROWS[i].known,
            .text = {.batch = ROWS[i].batch},
        };

        if (ROWS[i].uuid != NULL) {
            strncpy(mark.text.uuid, ROWS[i].uuid, sizeof(mark.text.uuid) - 1);
        }
        assert_int_equal(protocol_judge_mark(&self, &mark), ROWS[i].verdict);
    }
}

/* ---- outputs ---- */

static void each_row_of_the_table_of_outputs(void **unused)
{
    static const struct {
        struct output_found found;
        enum output_verdict verdict;
    } ROWS[] = {
        {{true, true, false, 100, 0, 150, false, false}, OUTPUT_FINE},
        {{true, true, false, 100, 100, 100, false, false}, OUTPUT_FINE},
        {{true, true, false, 100, 101, 150, false, false}, OUTPUT_LOG_START},
        {{false, true, false, 100, 101, 150, false, false}, OUTPUT_GONE_BEFORE},
        {{true, true, false, 100, 0, 99, false, false}, OUTPUT_SHORT},
        {{false, true, false, 100, 0, 99, false, false}, OUTPUT_SHORT},
        {{true, true, true, 100, 0, 150, false, false}, OUTPUT_RECREATED},
        {{false, true, true, 100, 0, 5, false, false}, OUTPUT_RENEWED},
        {{true, false, false, 100, 0, 0, false, false}, OUTPUT_MISSING},
        {{false, true, false, -1, 7, 9, false, false}, OUTPUT_FINE},
        {{true, true, false, 0, 0, 0, false, false}, OUTPUT_FINE},
        /* Known by places alone: the end is ours, or somebody else's. */
        {{false, true, false, 100, 0, 100, true, false}, OUTPUT_FINE},
        {{false, true, false, 100, 0, 101, true, false}, OUTPUT_AHEAD},
        {{false, true, false, 100, 0, 99, true, false}, OUTPUT_SHORT},
        {{false, true, false, 100, 100, 100, true, false}, OUTPUT_FINE},
        {{false, true, false, 100, 105, 105, true, false}, OUTPUT_AHEAD},
        {{false, true, false, -1, 0, 9, true, false}, OUTPUT_FINE},
        {{false, true, true, 100, 0, 5, true, false}, OUTPUT_RENEWED},
        /* The mark tells what is there: retention may have passed it. */
        {{true, true, false, 100, 101, 150, false, true}, OUTPUT_GONE_BEFORE},
        {{true, true, false, 100, 0, 99, false, true}, OUTPUT_SHORT},
        {{true, true, true, 100, 0, 150, false, true}, OUTPUT_RECREATED},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_int_equal(protocol_judge_output(&ROWS[i].found), ROWS[i].verdict);
    }
}

/* ---- inputs ---- */

static void each_row_of_the_table_of_inputs(void **unused)
{
    static const struct {
        struct input_found found;
        enum input_verdict verdict;
    } ROWS[] = {
        {{10, 0, 20, false, ON_DATA_LOSS_STOP}, INPUT_FINE},
        {{10, 10, 10, false, ON_DATA_LOSS_STOP}, INPUT_FINE},
        {{10, 11, 20, false, ON_DATA_LOSS_STOP}, INPUT_LOST},
        {{10, 11, 20, false, ON_DATA_LOSS_CONTINUE}, INPUT_SKIP},
        {{10, 0, 9, false, ON_DATA_LOSS_STOP}, INPUT_TRUNCATED},
        /* The policy speaks of retention; a truncated log is never passed over. */
        {{10, 0, 9, false, ON_DATA_LOSS_CONTINUE}, INPUT_TRUNCATED},
        {{10, 0, 20, true, ON_DATA_LOSS_CONTINUE}, INPUT_TRUNCATED},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_int_equal(protocol_judge_input(&ROWS[i].found), ROWS[i].verdict);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_drawn_moves_are_allowed),
        cmocka_unit_test(nothing_goes_out_while_the_outcome_is_unknown),
        cmocka_unit_test(a_recovered_batch_is_not_settled_without_the_check),
        cmocka_unit_test(
            the_settle_wait_counts_from_the_later_of_its_beginning_and_our_last_record),
        cmocka_unit_test(each_row_of_the_table_of_found_records),
        cmocka_unit_test(a_record_without_provenance_is_a_strangers),
        cmocka_unit_test(each_row_of_the_table_of_marks),
        cmocka_unit_test(each_row_of_the_table_of_outputs),
        cmocka_unit_test(each_row_of_the_table_of_inputs),
    };

    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
