/* What is concluded from the group's marks where a transaction carries them, row by row: each
 * verdict, and what stands beside what. */
#include "protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UUID       "0123456789abcdef0123456789abcdef"
#define OTHER_UUID "fedcba9876543210fedcba9876543210"

enum { PLACES_MAX = 3, SETTLED = 7, DOUBT = 8, FROM = 100, UNTIL = 200 };

enum text { NONE, FOREIGN, OURS, OTHER_LEDGER, STRANGE_START, IDEMPOTENT };

struct place {
    enum text text;
    int64_t offset;
    int64_t batch, slice, slices;
    bool read; /* by the batch in doubt: from FROM to UNTIL; else the ledger is at FROM */
};

struct row {
    const char *name;
    bool in_doubt, after_idempotent;
    enum marks_verdict verdict;
    size_t at; /* the place to be named; PLACES_MAX = no matter */
    struct place places[PLACES_MAX];
};

#define ABSENT                                                                                     \
    {                                                                                              \
        NONE, -1, 0, 0, 0, false                                                                   \
    }
#define ABSENT_READ                                                                                \
    {                                                                                              \
        NONE, -1, 0, 0, 0, true                                                                    \
    }
#define OLD                                                                                        \
    {                                                                                              \
        OURS, FROM, SETTLED, 1, 1, false                                                           \
    }
#define OLD_READ                                                                                   \
    {                                                                                              \
        OURS, FROM, SETTLED, 1, 1, true                                                            \
    }
#define OLD_SLICED                                                                                 \
    {                                                                                              \
        OURS, FROM, SETTLED, 3, 3, true                                                            \
    }
#define OLDER                                                                                      \
    {                                                                                              \
        OURS, FROM, SETTLED - 3, 2, 2, false                                                       \
    }
#define OLDER_READ                                                                                 \
    {                                                                                              \
        OURS, FROM, SETTLED - 3, 2, 2, true                                                        \
    }
#define LATE                                                                                       \
    {                                                                                              \
        IDEMPOTENT, FROM, SETTLED, 1, 1, false                                                     \
    }
#define LATE_READ                                                                                  \
    {                                                                                              \
        IDEMPOTENT, FROM, SETTLED, 1, 1, true                                                      \
    }
#define LATER                                                                                      \
    {                                                                                              \
        IDEMPOTENT, FROM - 10, SETTLED - 1, 1, 1, false                                            \
    }
#define SET                                                                                        \
    {                                                                                              \
        FOREIGN, FROM, 0, 0, 0, false                                                              \
    }
#define SET_READ                                                                                   \
    {                                                                                              \
        FOREIGN, FROM, 0, 0, 0, true                                                               \
    }
#define SET_BACK                                                                                   \
    {                                                                                              \
        OURS, FROM - 1, SETTLED, 1, 1, false                                                       \
    }
#define SET_AHEAD                                                                                  \
    {                                                                                              \
        OURS, FROM + 1, SETTLED, 1, 1, true                                                        \
    }
#define HALF_SETTLED                                                                               \
    {                                                                                              \
        OURS, FROM, SETTLED, 2, 0, false                                                           \
    }
#define PART(OFFSET)                                                                               \
    {                                                                                              \
        OURS, OFFSET, DOUBT, 2, 0, true                                                            \
    }
#define PART_BESIDE                                                                                \
    {                                                                                              \
        OURS, FROM, DOUBT, 2, 0, false                                                             \
    }
#define FIRST(OFFSET)                                                                              \
    {                                                                                              \
        OURS, OFFSET, DOUBT, 1, 0, true                                                            \
    }
#define WHOLE(OFFSET)                                                                              \
    {                                                                                              \
        OURS, OFFSET, DOUBT, 3, 3, true                                                            \
    }
#define WHOLE_BESIDE                                                                               \
    {                                                                                              \
        OURS, FROM, DOUBT, 3, 3, false                                                             \
    }
#define AHEAD                                                                                      \
    {                                                                                              \
        OURS, FROM, DOUBT + 1, 1, 1, false                                                         \
    }
#define NEW_LEDGER                                                                                 \
    {                                                                                              \
        OTHER_LEDGER, 0, 0, 1, 1, false                                                            \
    }
#define NEW_READ                                                                                   \
    {                                                                                              \
        OTHER_LEDGER, 0, 0, 1, 1, true                                                             \
    }
#define OTHER                                                                                      \
    {                                                                                              \
        OTHER_LEDGER, FROM, 3, 1, 1, false                                                         \
    }
#define COPY                                                                                       \
    {                                                                                              \
        STRANGE_START, FROM, SETTLED, 1, 1, false                                                  \
    }
#define COPY_AHEAD                                                                                 \
    {                                                                                              \
        STRANGE_START, FROM, DOUBT + 1, 1, 1, false                                                \
    }
#define COPY_OF_DOUBT                                                                              \
    {                                                                                              \
        STRANGE_START, 150, DOUBT, 2, 0, true                                                      \
    }

static const struct row ROWS[] = {
    /* nothing in doubt, the last batch was a transaction */
    {"it says what the ledger says", false, false, MARKS_SETTLED, 3, {OLD, OLD, OLD}},
    {"a partition was added", false, false, MARKS_BEHIND, 3, {OLD, ABSENT, OLD}},
    {"none", false, false, MARKS_ABSENT, 3, {ABSENT, ABSENT, ABSENT}},
    {"a new ledger's, which delivered nothing",
     false,
     false,
     MARKS_ABSENT,
     3,
     {NEW_LEDGER, NEW_LEDGER, NEW_LEDGER}},
    {"an input that wasn't read meanwhile", false, false, MARKS_BEHIND, 3, {OLD, OLDER, OLD}},
    {"nothing but those", false, false, MARKS_BEHIND, 3, {OLDER, OLDER, OLDER}},
    {"moved without a text", false, false, MARKS_MOVED, 1, {OLD, SET, OLD}},
    {"moved with one", false, false, MARKS_MOVED, 2, {OLD, OLD, SET_BACK}},
    {"a slice of a settled batch", false, false, MARKS_MOVED, 0, {HALF_SETTLED, OLD, OLD}},
    {"idempotent ones that landed late", false, false, MARKS_ABSENT, 3, {LATE, LATE, LATE}},
    {"older ones too", false, false, MARKS_ABSENT, 3, {LATER, LATER, LATER}},
    {"some of them", false, false, MARKS_BEHIND, 3, {LATE, OLD, OLD}},
    /* nothing in doubt, the last batch was idempotent, or there was none (T7) */
    {"the right idempotent ones", false, true, MARKS_BEHIND, 3, {LATE, LATE, LATE}},
    {"idempotent ones that are behind", false, true, MARKS_BEHIND, 3, {LATER, LATE, ABSENT}},
    {"written when the mode changed", false, true, MARKS_SETTLED, 3, {OLD, OLD, OLD}},
    {"someone else's offsets", false, true, MARKS_BEHIND, 3, {SET, SET, SET}},
    {"no offsets", false, true, MARKS_ABSENT, 3, {ABSENT, ABSENT, ABSENT}},
    /* a batch in doubt of which no mark says anything */
    {"nothing is there", true, false, MARKS_SETTLED, 3, {OLD_READ, OLD_SLICED, OLD}},
    {"and a partition is new", true, false, MARKS_SETTLED, 3, {OLD_READ, ABSENT_READ, OLD}},
    {"or wasn't read meanwhile", true, false, MARKS_SETTLED, 3, {OLD_READ, OLDER_READ, OLD}},
    {"moved ahead", true, false, MARKS_MOVED, 1, {OLD_READ, SET_AHEAD, OLD}},
    {"moved without a text, in doubt", true, false, MARKS_MOVED, 0, {SET_READ, OLD_READ, OLD}},
    {"no marks, in doubt", true, false, MARKS_ABSENT, 3, {ABSENT_READ, ABSENT, ABSENT}},
    {"a new ledger's, in doubt", true, false, MARKS_ABSENT, 3, {NEW_READ, NEW_READ, NEW_LEDGER}},
    {"idempotent ones, in doubt", true, true, MARKS_ABSENT, 3, {LATE_READ, LATE_READ, LATE}},
    {"the first transactional batch", true, true, MARKS_SETTLED, 3, {OLD_READ, OLD_READ, OLD}},
    /* a part of it */
    {"a part", true, false, MARKS_PART, 0, {PART(150), PART(FROM), PART_BESIDE}},
    {"all of it, but the last slice",
     true,
     false,
     MARKS_PART,
     0,
     {PART(UNTIL), PART(UNTIL), PART_BESIDE}},
    {"a part, and a new partition", true, false, MARKS_PART, 0, {PART(150), PART(160), ABSENT}},
    {"a part, told by what it doesn't read",
     true,
     false,
     MARKS_PART,
     0,
     {PART_BESIDE, PART(150), PART(160)}},
    {"below its range", true, false, MARKS_MOVED, 1, {PART(150), PART(99), PART_BESIDE}},
    {"above its range", true, false, MARKS_MOVED, 0, {PART(201), PART(150), PART_BESIDE}},
    {"another slice", true, false, MARKS_MIXED, 1, {PART(150), FIRST(120), PART_BESIDE}},
    {"a part beside the last slice",
     true,
     false,
     MARKS_MIXED,
     1,
     {PART(150), WHOLE(UNTIL), PART_BESIDE}},
    {"a part beside the batch before",
     true,
     false,
     MARKS_MIXED,
     1,
     {PART(150), OLD_READ, PART_BESIDE}},
    {"a part beside no mark", true, false, MARKS_MIXED, 0, {ABSENT_READ, PART(150), PART_BESIDE}},
    {"a part beside a foreign offset",
     true,
     false,
     MARKS_MIXED,
     0,
     {SET_READ, PART(150), PART_BESIDE}},
    {"a part beside a late idempotent one",
     true,
     true,
     MARKS_MIXED,
     1,
     {PART(150), LATE_READ, PART_BESIDE}},
    {"a part beside a new ledger's",
     true,
     false,
     MARKS_MIXED,
     0,
     {NEW_READ, PART(150), PART_BESIDE}},
    /* the whole */
    {"whole", true, false, MARKS_WHOLE, 0, {WHOLE(UNTIL), WHOLE(UNTIL), WHOLE_BESIDE}},
    {"whole, and moved elsewhere", true, false, MARKS_WHOLE, 0, {WHOLE(UNTIL), WHOLE(UNTIL), SET}},
    {"whole, but not at its end",
     true,
     false,
     MARKS_MOVED,
     1,
     {WHOLE(UNTIL), WHOLE(199), WHOLE_BESIDE}},
    {"whole beside the batch before",
     true,
     false,
     MARKS_MIXED,
     0,
     {OLD_READ, WHOLE(UNTIL), WHOLE_BESIDE}},
    /* strangers come first: another ledger before a stale one before a copy */
    {"ahead", false, false, MARKS_AHEAD, 1, {OLD, AHEAD, OLD}},
    {"ahead of a batch in doubt", true, false, MARKS_AHEAD, 2, {PART(150), PART(150), AHEAD}},
    {"another ledger's", false, false, MARKS_OTHER_LEDGER, 2, {OLD, ABSENT, OTHER}},
    {"another ledger's, on a new ledger",
     false,
     true,
     MARKS_OTHER_LEDGER,
     0,
     {OTHER, OTHER, OTHER}},
    {"a copy's", false, false, MARKS_COPY, 1, {OLD, COPY, OLD}},
    {"a copy's part of the batch in doubt",
     true,
     false,
     MARKS_COPY,
     0,
     {COPY_OF_DOUBT, COPY_OF_DOUBT, PART_BESIDE}},
    {"a copy's, ahead", false, false, MARKS_AHEAD, 2, {COPY, SET, COPY_AHEAD}},
    {"all of them", false, false, MARKS_OTHER_LEDGER, 2, {COPY, AHEAD, OTHER}},
};

static void place_init(const struct place *from, bool in_doubt, struct mark_place *place)
{
    bool ours = from->text != NONE && from->text != FOREIGN;

    *place = (struct mark_place){
        .offset = from->offset,
        .ours = ours,
        .text = {.delivery =
                     from->text == IDEMPOTENT ? DELIVERY_IDEMPOTENT : DELIVERY_TRANSACTIONAL,
                 .batch = from->batch,
                 .slice = from->slice,
                 .slices = from->slices},
        .incarnation_known = ours && from->text != STRANGE_START && from->text != OTHER_LEDGER,
        .planned = in_doubt && from->read,
        .from = FROM,
        .until = in_doubt && from->read ? UNTIL : FROM,
    };
    memcpy(place->text.uuid, from->text == OTHER_LEDGER ? OTHER_UUID : UUID, UUID_SIZE);
}

static void each_finding_has_its_verdict(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        struct protocol_self self = {.uuid = UUID,
                                     .settled = SETTLED,
                                     .in_doubt = row->in_doubt ? DOUBT : 0,
                                     .by_mark = row->in_doubt};
        struct mark_place places[PLACES_MAX];
        size_t at = PLACES_MAX;
        enum marks_verdict verdict;

        for (size_t p = 0; p < PLACES_MAX; p++) {
            place_init(&row->places[p], row->in_doubt, &places[p]);
        }
        verdict = protocol_judge_marks(&self, places, PLACES_MAX, !row->after_idempotent, &at);
        if (verdict != row->verdict || (row->at < PLACES_MAX && at != row->at)) {
            fail_msg("%s: verdict %d at %zu, not %d at %zu", row->name, (int)verdict, at,
                     (int)row->verdict, row->at);
        }
    }
}

static void the_fourth_fencing_within_ten_minutes_is_too_often(void **unused)
{
    struct protocol_fenced fenced = {.count = 0};

    (void)unused;
    assert_true(protocol_fenced_again(&fenced, 0));
    assert_true(protocol_fenced_again(&fenced, 1000));
    assert_true(protocol_fenced_again(&fenced, 2000));
    assert_false(protocol_fenced_again(&fenced, 3000));
}

static void three_within_ten_minutes_are_not_too_often(void **unused)
{
    struct protocol_fenced fenced = {.count = 0};

    (void)unused;
    for (int64_t at = 0; at < 20; at++) { /* one in 201 s: three within 402 s, the fourth in 603 */
        assert_true(protocol_fenced_again(&fenced, at * 201000));
    }
    assert_false(protocol_fenced_again(&fenced, 19 * 201000 + 190000)); /* 593 s since the third */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_finding_has_its_verdict),
        cmocka_unit_test(the_fourth_fencing_within_ten_minutes_is_too_often),
        cmocka_unit_test(three_within_ten_minutes_are_not_too_often),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
