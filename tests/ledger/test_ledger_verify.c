/* verify finds each thing that isn't as it must be, and nothing in a ledger that lived well; status
 * tells the same; the queries of schema/README.md run; old batches go a bite at a time. */
#include "support_ledger.h"

#include "ledger_status.h"
#include "ledger_verify.h"
#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 3, BATCHES = 4, FINDINGS_MAX = 4096 };

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

/* Settled batches 1 … BATCHES with a jump after the second, a record set aside in the last, and one
 * more in doubt with a checkpoint. */
static struct ledger *live(void)
{
    struct ledger *ledger = must_open(&place);
    struct ledger_input jump = {.topic = (char *)(uintptr_t) "a", .leader_epoch = -1};
    const struct fence fence = {.topic = "a_error", .partition = 0, .offset = 3};
    const struct fence raised = {.topic = "out", .partition = 1, .offset = 60};
    const struct ledger_record record = {.topic = "a",
                                         .partition = 1,
                                         .key = "caf\xc3\xa9",
                                         .key_size = 5,
                                         .value = "\xff\0",
                                         .value_size = 2,
                                         .headers_size = -1};
    const struct progress progress = {.range = 1,
                                      .topic = (char *)(uintptr_t) "out",
                                      .partition = 1,
                                      .offset = 1450,
                                      .records = 50};
    struct batch batch;
    struct err err = {0};
    int64_t from = 0;

    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", PARTITIONS);
    for (int64_t number = 1; number <= BATCHES + 1; number++) {
        sample_batch(&batch, number, PARTITIONS, from, 100);
        must_plan(ledger, &batch);
        from += 100;
        if (number == BATCHES) {
            struct ledger_record aside = record;

            aside.offset = from - 1;
            must(ledger_begin(ledger, &err));
            must(ledger_fence_add(ledger, number, &fence, &err));
            must(ledger_set_aside(ledger, number, &aside, "too large", "a_error", 0, 5000, &err));
            must(ledger_commit(ledger, &err));
        }
        if (number <= BATCHES) {
            must_settle(ledger, &batch);
        } else {
            must(ledger_begin(ledger, &err));
            must(ledger_checkpoint(ledger, &batch, &raised, 1, &progress, 1, &err));
            must(ledger_commit(ledger, &err));
        }
        batch_deinit(&batch);
        if (number == 2) {
            from += 1000;
            must(ledger_begin(ledger, &err));
            for (jump.partition = 0; jump.partition < PARTITIONS; jump.partition++) {
                jump.next_offset = from;
                must(ledger_input_put(ledger, &jump, &err));
            }
            must(ledger_commit(ledger, &err));
        }
    }
    return ledger;
}

static void collect(void *arg, const char *check, const char *finding, const char *json)
{
    char *findings = arg;
    const size_t used = strlen(findings);

    assert_non_null(strstr(json, check));
    snprintf(findings + used, FINDINGS_MAX - used, "%s: %s\n", check, finding);
}

static int64_t verify(char findings[FINDINGS_MAX])
{
    struct ledger *reader = NULL;
    int64_t count = -1;
    struct err err = {0};

    findings[0] = '\0';
    must(ledger_open_to_read(place.path, &reader, &err));
    must(ledger_verify(reader, collect, findings, &count, &err));
    ledger_close(reader);
    return count;
}

static void a_ledger_that_lived_well_is_sound_while_its_owner_writes(void **state)
{
    char findings[FINDINGS_MAX];
    struct ledger *ledger = live();
    struct err err = {0};

    (void)state;
    must(ledger_begin(ledger, &err)); /* verify looks while a transaction is open */
    if (verify(findings) != 0) {
        fail_msg("%s", findings);
    }
    ledger_rollback(ledger);
    ledger_close(ledger);
}

static void each_damage_is_found(void **state)
{
    static const struct {
        const char *damage; /* what a hand without triggers could do */
        const char *found;
    } CASES[] = {
        {"UPDATE oncesink_batch_range SET from_offset = from_offset - 1 WHERE batch = 2 AND "
         "partition = 1",
         "chain: 'a'[1]: batch 2 begins at 99, but what came before ended at 100"},
        {"UPDATE oncesink_batch_range SET until_offset = until_offset - 1, records = 99 WHERE "
         "batch = 1 AND partition = 0",
         "chain: 'a'[0]: batch 2 begins at 100, but what came before ended at 99"},
        {"UPDATE oncesink_input SET first_offset = 7 WHERE partition = 2",
         "chain: 'a'[2]: the first batch 1 begins at 0, but the job's first offset is 7"},
        {"DELETE FROM oncesink_jump WHERE partition = 0",
         "chain: 'a'[0]: batch 3 begins at 1200, but what came before ended at 200"},
        {"UPDATE oncesink_input SET next_offset = 1401 WHERE partition = 0",
         "next offset: 'a'[0]: the next offset is 1401, but what is settled ends at 1400"},
        {"INSERT INTO oncesink_input (topic, partition, first_offset, next_offset) VALUES ('b', 0, "
         "0, 5)",
         "next offset: 'b'[0]: nothing was read, but the next offset is 5"},
        {"DROP INDEX oncesink_batch_unsettled; UPDATE oncesink_batch SET state = 'planned', "
         "outcome = NULL, "
         "ended_ms = NULL, settled_wall_ms = NULL, scheduling_ms = NULL, processing_ms = NULL, "
         "records = NULL, "
         "outputs = NULL, found = NULL WHERE batch = 2",
         "numbers: 2 batches are in doubt"},
        {"DELETE FROM oncesink_batch WHERE batch = 3",
         "numbers: batch 3 should be there and isn't"},
        {"DELETE FROM oncesink_batch WHERE batch = 3",
         "references: a row of oncesink_batch_range names a row of oncesink_batch"},
        {"UPDATE oncesink_ledger SET batch = 6, settled = 5",
         "numbers: batch 5 is in doubt, but the last batch is 6 and the last settled 5"},
        {"UPDATE oncesink_ledger SET pruned = 1", "numbers: batch 1 should not be there"},
        {"UPDATE oncesink_ledger SET incarnation = 'ffffffff'",
         "ledger: incarnation ffffffff is not among"},
        {"UPDATE oncesink_batch SET planned = 301 WHERE batch = 1",
         "batch sums: batch 1 plans 301 records, its ranges have 300"},
        {"UPDATE oncesink_batch_range SET records = 98 WHERE batch = 1 AND partition = 1",
         "batch sums: batch 1 has 300 records"},
        {"UPDATE oncesink_batch SET outputs = 299 WHERE batch = 2",
         "batch sums: batch 2 has 299 output records"},
        {"UPDATE oncesink_batch_range SET records = 1 WHERE batch = 5 AND partition = 0",
         "batch sums: batch 5 is in doubt, but a range of it is settled"},
        {"UPDATE oncesink_ledger SET total_planned = 9999", "totals: the total of planned is 9999"},
        {"UPDATE oncesink_ledger SET total_set_aside = 0",
         "totals: the total of records set aside is 0, there are 1"},
        {"UPDATE oncesink_input SET records = 3 WHERE partition = 1",
         "partition totals: input 'a'[1] counts 3 records"},
        {"UPDATE oncesink_output SET records = 3 WHERE partition = 1",
         "partition totals: output 'out'[1] counts 3 records"},
        {"UPDATE oncesink_output SET next_offset = 11 WHERE partition = 1",
         "fences: batch 2: the fence of 'out'[1] is 20, its next offset 11"},
        {"DELETE FROM oncesink_output WHERE partition = 2",
         "fences: batch 1: delivered to 'out'[2], which has no row"},
        {"UPDATE oncesink_batch_output SET topic = 'x' WHERE batch = 5 AND partition = 2",
         "definitions: batch 5 writes 'x'[2]"},
        {"UPDATE oncesink_pipeline_input SET topic = 'z' WHERE topic = 'a'",
         "definitions: batch 1 reads 'a'"},
        {"UPDATE oncesink_set_aside SET offset = 5",
         "set aside: a record set aside, 'a'[1]@5, is in no range of batch 4"},
        {"UPDATE oncesink_set_aside SET error_partition = 5",
         "set aside: a record set aside, 'a'[1]@1399: batch 4 has no fence"},
        {"UPDATE oncesink_rate SET batch = 5",
         "rate: the rate comes from batch 5, but the last one settled is 4"},
        {"UPDATE oncesink_rate SET ended_ms = ended_ms - 1",
         "rate: the rate comes from the end of batch 4 at"},
        {"UPDATE oncesink_batch SET outcome = 'recovered' WHERE batch = 4; UPDATE oncesink_ledger "
         "SET total_recovered = 1",
         "(recovered)"},
        {"UPDATE oncesink_rate SET published = published + 1",
         "rate: the published rate is 572, the rate 571.429"},
        {"UPDATE oncesink_batch_progress SET offset = 5",
         "progress: progress of 'a'[1] up to 5 belongs to no range"},
        {"UPDATE oncesink_batch_progress SET batch = 4",
         "progress: progress of 'a'[1] up to 1450 belongs to no range"},
    };
    char findings[FINDINGS_MAX];

    (void)state;
    ledger_close(live());
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct place whole = place;
        char command[512];

        place_make(&place);
        snprintf(command, sizeof(command), "cp %s %s", whole.path, place.path);
        assert_int_equal(system(command), 0);
        tell(&place,
             "DROP TRIGGER oncesink_batch_plan_kept; DROP TRIGGER oncesink_batch_outcome_kept;"
             "DROP TRIGGER oncesink_batch_range_kept; DROP TRIGGER oncesink_batch_output_kept;"
             "DROP TRIGGER oncesink_pipeline_input_kept");
        tell(&place, CASES[i].damage);
        if (verify(findings) == 0 || strstr(findings, CASES[i].found) == NULL) {
            fail_msg("after: %s\nexpected: %s\nfound: %s", CASES[i].damage, CASES[i].found,
                     findings);
        }
        place_remove(&place);
        place = whole;
    }
}

static void a_damaged_file_is_found_by_sqlite_itself(void **state)
{
    char findings[FINDINGS_MAX];

    (void)state;
    ledger_close(live());
    /* An index that lacks a row, as its own definition has it. */
    tell(&place, "PRAGMA writable_schema = ON;"
                 "UPDATE sqlite_schema SET sql = replace(sql, '''settled''', '''x''') "
                 "WHERE name = 'oncesink_batch_unsettled'");
    assert_true(verify(findings) > 0);
    assert_non_null(strstr(findings, "file: "));
}

static void old_batches_go_a_bite_at_a_time_and_stay_counted(void **state)
{
    char findings[FINDINGS_MAX];
    struct ledger *ledger = must_open(&place);
    struct err err = {0};

    (void)state;
    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", PARTITIONS);
    for (int64_t number = 1; number <= 200; number++) {
        struct batch batch;

        sample_batch(&batch, number, PARTITIONS, (number - 1) * 100, 100);
        must_plan(ledger, &batch);
        must_settle(ledger, &batch);
        batch_deinit(&batch);
    }
    must(ledger_prune(ledger, 200, &err));
    must(ledger_prune(ledger, 190, &err)); /* ten too many are let be */
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM batches"), 200);
    must(ledger_prune(ledger, 10, &err));
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM batches"), 200 - 64); /* one bite */
    for (int i = 0; i < 5; i++) {
        must(ledger_prune(ledger, 10, &err));
    }
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM batches"), 10);
    assert_int_equal(ask_integer(&place, "SELECT min(batch) FROM batches"), 191);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_batch_range"),
                     10 * PARTITIONS);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_batch_output"),
                     10 * PARTITIONS);
    assert_int_equal(ask_integer(&place, "SELECT records FROM totals"), 200 * 100 * PARTITIONS);
    if (verify(findings) != 0) {
        fail_msg("%s", findings);
    }
    ledger_close(ledger);
    ledger = must_open(&place); /* and a later process goes on from there */
    must(ledger_prune(ledger, 5, &err));
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM batches"), 5);
    ledger_close(ledger);
}

static void routine_events_are_pruned_and_what_tells_of_trouble_stays(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct batch batch;
    struct err err = {0};

    (void)state;
    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", 1);
    must(ledger_begin(ledger, &err));
    must(ledger_event(ledger, EVENT_GAP, 0, 1, &err, "lost"));
    for (int i = 0; i < 1500; i++) {
        must(ledger_event(ledger, EVENT_TICKS, 0, 1, &err, "%d", i));
    }
    must(ledger_commit(ledger, &err));
    sample_batch(&batch, 1, 1, 0, 100);
    must_plan(ledger, &batch);
    must_settle(ledger, &batch);
    batch_deinit(&batch);
    must(ledger_prune(ledger, 0, &err));
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM events WHERE kind = 'gap'"), 1);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM events WHERE kind <> 'gap'"), 1000);
    ledger_close(ledger);
}

static void the_wal_is_copied_between_batches_and_begins_anew(void **state)
{
    struct ledger *ledger = must_open(&place);
    char *text = mem_zero(1024 * 1024 + 1);
    struct err err = {0};

    (void)state;
    memset(text, 'x', 1024 * 1024);
    must_start(ledger, "0000000a");
    for (int round = 0; round < 40; round++) {
        must(ledger_begin(ledger, &err));
        for (int i = 0; i < 1000; i++) {
            must(ledger_event(ledger, EVENT_TOPIC, 0, 1, &err, "%.1000s", text));
        }
        must(ledger_commit(ledger, &err));
        ledger_tidy(ledger);
    }
    assert_true(ask_integer(&place, "SELECT count(*) FROM events") > 40000);
    assert_in_range(ledger_wal_bytes(ledger), 1, 20 * 1024 * 1024); /* 40 MiB went through it */
    free(text);
    ledger_close(ledger);
}

static void status_tells_people_and_machines_the_same(void **state)
{
    struct ledger *ledger = live();
    struct ledger *reader = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct err err = {0};

    (void)state;
    must(ledger_open_to_read(place.path, &reader, &err));
    must(ledger_status_print(reader, out, false, &err));
    fflush(out);
    assert_non_null(strstr(text, "in doubt     batch 5: planned, 300 offsets"));
    assert_non_null(strstr(text, "1,200 records in, 1,200 out (0 found by recovery), 1 set aside"));
    assert_non_null(strstr(text, "lag          900 records in 3 partitions"));
    assert_non_null(strstr(text, "moved        a[2] from 200 to 1,200 after batch 2"));
    assert_non_null(strstr(text, "owner        process "));
    rewind(out);
    must(ledger_status_print(reader, out, true, &err));
    fclose(out);
    assert_non_null(strstr(text, "\"in_doubt\":{\"batch\":5,"));
    assert_non_null(strstr(text, "\"records\":1200,"));
    free(text);
    ledger_close(reader);
    ledger_close(ledger);
}

static void set_aside_records_are_readable(void **state)
{
    static const struct {
        const char *bytes, *shown;
    } CASES[] = {
        {"x''", ""},
        {"x'636166c3a9'", "caf\xc3\xa9"},
        {"x'e282acf09f9880'", "\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"x'c3'", "x'c3'"},         /* cut short */
        {"x'c0af'", "x'c0af'"},     /* too long a form */
        {"x'eda080'", "x'eda080'"}, /* a surrogate */
        {"x'f4908080'", "x'f4908080'"},
        {"x'80'", "x'80'"},
        {"x'6100'", "x'6100'"},         /* NUL would end the line */
        {"x'1b5b324a'", "x'1b5b324a'"}, /* would clear a terminal */
        {"x'c285'", "x'c285'"},
        {"x'610a09'", "a\n\t"},
        {"NULL", ""},
    };
    char sql[512];
    char text[8192];

    (void)state;
    ledger_close(must_open(&place));
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        snprintf(sql, sizeof(sql),
                 "DELETE FROM oncesink_set_aside; INSERT INTO oncesink_set_aside VALUES "
                 "(1, 1, 't', 0, 0, 0, %s, x'00', NULL, 'r', 'e', 0, 0)",
                 CASES[i].bytes);
        tell(&place, sql);
        ask_text(&place, "SELECT key FROM set_aside_records", text, sizeof(text));
        assert_string_equal(text, CASES[i].shown);
    }
    assert_int_equal(ask_integer(&place, "SELECT key IS NULL FROM set_aside_records"), 1);
    tell(&place, "UPDATE oncesink_set_aside SET value = zeroblob(5000)");
    ask_text(&place, "SELECT value FROM set_aside_records", text, sizeof(text));
    assert_non_null(strstr(text, "(5000 bytes)"));
}

/* Every ```sql block of schema/README.md, as it stands there. */
static void the_queries_of_the_readme_run(void **state)
{
    char path[512];
    char line[512];
    char sql[4096];
    bool inside = false;
    int blocks = 0;
    char *slash;
    FILE *readme;

    (void)state;
    ledger_close(live());
    tell(&place, "UPDATE oncesink_input SET records = records"); /* the tables are there */
    snprintf(path, sizeof(path), "%s", __FILE__);
    slash = strrchr(path, '/');
    assert_non_null(slash);
    snprintf(slash, sizeof(path) - (size_t)(slash - path), "/../../schema/README.md");
    readme = fopen(path, "r");
    assert_non_null(readme);
    while (fgets(line, sizeof(line), readme) != NULL) {
        if (strcmp(line, "```sql\n") == 0) {
            inside = true;
            sql[0] = '\0';
        } else if (inside && strcmp(line, "```\n") == 0) {
            inside = false;
            blocks++;
            tell(&place, sql);
        } else if (inside) {
            const size_t used = strlen(sql);

            snprintf(sql + used, sizeof(sql) - used, "%s", line);
        }
    }
    fclose(readme);
    assert_int_equal(blocks, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_ledger_that_lived_well_is_sound_while_its_owner_writes),
        TEST(each_damage_is_found),
        TEST(a_damaged_file_is_found_by_sqlite_itself),
        TEST(old_batches_go_a_bite_at_a_time_and_stay_counted),
        TEST(routine_events_are_pruned_and_what_tells_of_trouble_stays),
        TEST(the_wal_is_copied_between_batches_and_begins_anew),
        TEST(status_tells_people_and_machines_the_same),
        TEST(set_aside_records_are_readable),
        TEST(the_queries_of_the_readme_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
