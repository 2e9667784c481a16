/* Two readers of one partition: of each record the first copy, once, in order, and no mixture of
 * two logs. */
#include "source_merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LOG = 64, ROUNDS = 20000, READERS = 2, STEPS_MAX = 100000 };

/* A log: what readers get at an offset, and who wrote it. */
struct log {
    int32_t epochs[LOG]; /* NOTHING: marker, aborted or compacted */
    int32_t values[LOG];
};
enum { NOTHING = -2 };

struct reader {
    const struct log *log;
    int64_t at; /* what its client brings next */
    int64_t next;
    struct source_merge merge;
};

static uint32_t seed;
static bool same_log;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

static void fill(struct log *log, int32_t from, int32_t epoch)
{
    for (int32_t i = from; i < LOG; i++) {
        if (i > from && draw(16) == 0) {
            epoch++;
        }
        log->epochs[i] = draw(4) == 0 ? NOTHING : epoch;
        log->values[i] = (int32_t)draw(1000000);
    }
}

/* What deliver gets. */
struct out {
    int64_t offsets[LOG];
    int32_t values[LOG];
    size_t count;
};

static void overtake(struct reader *reader, int64_t next, int64_t last, int32_t epoch)
{
    if (next > reader->next) {
        reader->next = next;
        source_merge_overtaken(&reader->merge, last, epoch);
    }
}

/* The reader brings one offset's content. false: its stream is in doubt. */
static bool bring(struct reader *reader, struct reader *other, struct out *out)
{
    int64_t offset = reader->at++;
    int32_t epoch = reader->log->epochs[offset];

    if (epoch == NOTHING) {
        return true;
    }
    switch (source_merge_judge(&reader->merge, reader->next, offset, epoch)) {
    case MERGE_DROP:
        return true;
    case MERGE_OTHER:
        same_log = false;
        return false;
    case MERGE_DOUBT:
        return false;
    case MERGE_TAKE:
        break;
    }
    assert_true(out->count < LOG);
    out->offsets[out->count] = offset;
    out->values[out->count++] = reader->log->values[offset];
    reader->next = offset + 1;
    overtake(other, reader->next, offset, epoch);
    return true;
}

static void each_record_comes_once_and_in_order_however_two_readers_bring_them(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct log log;
        struct out out = {.count = 0};
        struct reader readers[READERS];
        size_t found = 0;
        uint32_t bias;

        seed = round;
        fill(&log, 0, (int32_t)draw(3) - 1);
        bias = 1 + draw(20); /* how much faster the first is */
        for (size_t i = 0; i < READERS; i++) {
            readers[i] = (struct reader){.log = &log};
            source_merge_reset(&readers[i].merge);
        }
        while (readers[0].at < LOG && readers[1].at < LOG) {
            size_t who = draw(bias + 1) == 0;
            uint32_t answer = 1 + draw(8);

            for (; answer > 0 && readers[who].at < LOG; answer--) {
                assert_true(bring(&readers[who], &readers[1 - who], &out));
            }
        }
        for (int64_t offset = 0; offset < LOG; offset++) {
            if (log.epochs[offset] != NOTHING) {
                assert_int_equal(out.offsets[found], offset);
                assert_int_equal(out.values[found++], log.values[offset]);
            }
        }
        assert_int_equal(found, out.count);
    }
}

/* The old log's records from `cut` on are gone; what stands there now was written in a later epoch.
 * A reader of the old log and one of the new, from the same place on: what comes out is a beginning
 * of one of the two logs, or somebody is in doubt, before a record of both has come. */
static void no_mixture_of_two_logs_comes_out(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct log old;
        struct log new;
        struct out out = {.count = 0};
        struct reader readers[READERS];
        bool sure = true;
        int32_t cut;

        seed = round;
        fill(&old, 0, 0);
        new = old;
        cut = 1 + (int32_t)draw(LOG - 1);
        fill(&new, cut, LOG); /* a later epoch than any of the old log */
        readers[0] = (struct reader){.log = &old};
        readers[1] = (struct reader){.log = &new};
        source_merge_reset(&readers[0].merge);
        source_merge_reset(&readers[1].merge);
        while (sure && readers[0].at < LOG && readers[1].at < LOG) {
            size_t who = draw(2);

            sure = bring(&readers[who], &readers[1 - who], &out);
        }
        for (size_t log = 0, fits = 0; log < READERS; log++) {
            const struct log *whole = log == 0 ? &old : &new;
            bool same = true;

            for (size_t i = 0; i < out.count; i++) {
                same &= whole->epochs[out.offsets[i]] != NOTHING &&
                        whole->values[out.offsets[i]] == out.values[i];
            }
            fits += same;
            assert_true(log == 0 || fits > 0);
        }
    }
}

static void one_that_was_overtaken_has_met_the_other_at_the_last_record(void **state)
{
    struct source_merge merge;

    (void)state;
    source_merge_reset(&merge);
    assert_true(source_merge_is_met(&merge));
    source_merge_overtaken(&merge, 9, 3);
    assert_int_equal(source_merge_judge(&merge, 10, 8, 2), MERGE_DROP);
    assert_false(source_merge_is_met(&merge)); /* at its end here: in doubt */
    assert_int_equal(source_merge_judge(&merge, 10, 9, 3), MERGE_DROP);
    assert_true(source_merge_is_met(&merge));
    assert_int_equal(source_merge_judge(&merge, 10, 10, 7), MERGE_TAKE); /* an election: its own */
}

static void another_epoch_at_the_last_record_is_another_log(void **state)
{
    struct source_merge merge;

    (void)state;
    source_merge_reset(&merge);
    source_merge_overtaken(&merge, 9, 3);
    assert_int_equal(source_merge_judge(&merge, 10, 9, 4), MERGE_OTHER);
}

static void the_last_record_compacted_away_is_made_up_for_by_one_of_its_epoch(void **state)
{
    struct source_merge merge;

    (void)state;
    source_merge_reset(&merge);
    source_merge_overtaken(&merge, 9, 3);
    assert_int_equal(source_merge_judge(&merge, 10, 12, 3), MERGE_TAKE);
    source_merge_overtaken(&merge, 20, 3);
    assert_int_equal(source_merge_judge(&merge, 21, 25, 4), MERGE_DOUBT);
}

static void an_unknown_epoch_equals_any(void **state)
{
    struct source_merge merge;

    (void)state;
    source_merge_reset(&merge);
    source_merge_overtaken(&merge, 9, -1);
    assert_int_equal(source_merge_judge(&merge, 10, 9, 4), MERGE_DROP);
    source_merge_overtaken(&merge, 20, 4);
    assert_int_equal(source_merge_judge(&merge, 21, 21, -1), MERGE_TAKE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_comes_once_and_in_order_however_two_readers_bring_them),
        cmocka_unit_test(no_mixture_of_two_logs_comes_out),
        cmocka_unit_test(one_that_was_overtaken_has_met_the_other_at_the_last_record),
        cmocka_unit_test(another_epoch_at_the_last_record_is_another_log),
        cmocka_unit_test(the_last_record_compacted_away_is_made_up_for_by_one_of_its_epoch),
        cmocka_unit_test(an_unknown_epoch_equals_any),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
