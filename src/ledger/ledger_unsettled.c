/* The batch in doubt, as its plan and what was added since left it: what a start after a kill
 * begins with.
 *
 * Everything is checked on the way in: a range of a topic that the definition doesn't know can't be
 * worked with. */
#include "ledger_internal.h"

#include "mem.h"

#include <inttypes.h>
#include <string.h>

static const char UNSETTLED_BATCH_SQL[] =
    "SELECT batch, pipeline, state, tick_ms, started_ms, planned_wall_ms, rate, limited_by, "
    "(SELECT count(*) FROM oncesink_batch_range r WHERE r.batch = b.batch), "
    "(SELECT count(*) FROM oncesink_batch_output o WHERE o.batch = b.batch), "
    "(SELECT count(*) FROM oncesink_batch_progress p WHERE p.batch = b.batch), "
    "(SELECT count(*) FROM oncesink_set_aside s WHERE s.batch = b.batch) "
    "FROM oncesink_batch b WHERE state <> 'settled'";
static const char UNSETTLED_RANGES_SQL[] =
    "SELECT topic, partition, from_offset, until_offset, end_offset, leader_epoch "
    "FROM oncesink_batch_range WHERE batch = ? ORDER BY topic, partition";
static const char UNSETTLED_FENCES_SQL[] =
    "SELECT topic, partition, coalesce(checkpoint_offset, fence_offset) "
    "FROM oncesink_batch_output WHERE batch = ? ORDER BY topic, partition";
static const char UNSETTLED_PROGRESS_SQL[] =
    "SELECT topic, partition, output_topic, output_partition, offset, records FROM "
    "oncesink_batch_progress "
    "WHERE batch = ? ORDER BY topic, partition, output_topic, output_partition";
static const char UNSETTLED_SET_ASIDE_SQL[] =
    "SELECT topic, partition, offset, error_topic, error_partition "
    "FROM oncesink_set_aside WHERE batch = ? ORDER BY topic, partition, offset";

struct counts {
    size_t ranges, fences, progress, set_aside;
};

static bool load_batch(struct ledger *ledger, sqlite3_stmt *row, struct batch *batch,
                       struct counts *counts_out, struct err *err)
{
    enum {
        NUMBER,
        PIPELINE,
        STATE,
        TICK,
        STARTED,
        WALL,
        RATE,
        LIMITED,
        RANGES,
        FENCES,
        PROGRESS,
        SET_ASIDE
    };
    size_t limited = 0;

    batch->number = sqlite3_column_int64(row, NUMBER);
    batch->state = strcmp(ledger_text(row, STATE), "staged") == 0 ? BATCH_STAGED : BATCH_PLANNED;
    batch->definition.id = sqlite3_column_int64(row, PIPELINE);
    batch->tick_ms = sqlite3_column_int64(row, TICK);
    batch->started_ms = sqlite3_column_int64(row, STARTED);
    batch->planned_wall_ms = sqlite3_column_int64(row, WALL);
    batch->rate = sqlite3_column_double(row, RATE);
    while (limited < LIMITED_COUNT &&
           strcmp(LIMITED_WORDS[limited], ledger_text(row, LIMITED)) != 0) {
        limited++;
    }
    if (limited == LIMITED_COUNT) {
        return ledger_damaged(ledger, err, "limited_by of batch %" PRId64, batch->number);
    }
    batch->limited_by = (enum limited_by)limited;
    *counts_out = (struct counts){
        .ranges = (size_t)sqlite3_column_int64(row, RANGES),
        .fences = (size_t)sqlite3_column_int64(row, FENCES),
        .progress = (size_t)sqlite3_column_int64(row, PROGRESS),
        .set_aside = (size_t)sqlite3_column_int64(row, SET_ASIDE),
    };
    if (batch->number != ledger->identity.batch || counts_out->ranges == 0) {
        return ledger_damaged(ledger, err,
                              "batch %" PRId64 " in doubt (last batch %" PRId64 ", %zu ranges)",
                              batch->number, ledger->identity.batch, counts_out->ranges);
    }
    return true;
}

/* Which of the batch's ranges it is, -1 = none. */
static int64_t find_range(const struct batch *batch, const char *topic, int32_t partition)
{
    const int input = definition_find_input(&batch->definition, topic);
    size_t low = 0;
    size_t high = batch->range_count;

    if (input < 0) {
        return -1;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct range *range = &batch->ranges[middle];

        if (range->input < (uint32_t)input ||
            (range->input == (uint32_t)input && range->partition < partition)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < batch->range_count && batch->ranges[low].input == (uint32_t)input &&
        batch->ranges[low].partition == partition) {
        return (int64_t)low;
    }
    return -1;
}

static bool take_range(struct ledger *ledger, sqlite3_stmt *row, struct batch *batch,
                       struct err *err)
{
    enum { TOPIC, PARTITION, FROM, UNTIL, END, EPOCH };
    const int input = definition_find_input(&batch->definition, ledger_text(row, TOPIC));

    if (input < 0) {
        return ledger_damaged(ledger, err, "a range of '%s', which batch %" PRId64 " doesn't read",
                              ledger_text(row, TOPIC), batch->number);
    }
    batch->ranges[batch->range_count++] = (struct range){
        .input = (uint32_t)input,
        .partition = sqlite3_column_int(row, PARTITION),
        .from = sqlite3_column_int64(row, FROM),
        .until = sqlite3_column_int64(row, UNTIL),
        .end = sqlite3_column_int64(row, END),
        .leader_epoch = sqlite3_column_int(row, EPOCH),
        .end_epoch = -1,
    };
    return true;
}

static bool take_fence(struct ledger *ledger, sqlite3_stmt *row, struct batch *batch,
                       struct err *err)
{
    enum { TOPIC, PARTITION, OFFSET };

    (void)ledger;
    (void)err;
    batch->fences[batch->fence_count++] = (struct fence){
        .topic = mem_text(ledger_text(row, TOPIC)),
        .partition = sqlite3_column_int(row, PARTITION),
        .offset = sqlite3_column_int64(row, OFFSET),
    };
    return true;
}

static bool take_progress(struct ledger *ledger, sqlite3_stmt *row, struct batch *batch,
                          struct err *err)
{
    enum { TOPIC, PARTITION, OUTPUT_TOPIC, OUTPUT_PARTITION, OFFSET, RECORDS };
    const int64_t range =
        find_range(batch, ledger_text(row, TOPIC), sqlite3_column_int(row, PARTITION));

    if (range < 0) {
        return ledger_damaged(
            ledger, err, "progress of '%s'[%d], which batch %" PRId64 " doesn't read",
            ledger_text(row, TOPIC), sqlite3_column_int(row, PARTITION), batch->number);
    }
    batch->progress[batch->progress_count++] = (struct progress){
        .range = (uint32_t)range,
        .topic = mem_text(ledger_text(row, OUTPUT_TOPIC)),
        .partition = sqlite3_column_int(row, OUTPUT_PARTITION),
        .offset = sqlite3_column_int64(row, OFFSET),
        .records = sqlite3_column_int64(row, RECORDS),
    };
    return true;
}

static bool take_set_aside(struct ledger *ledger, sqlite3_stmt *row, struct batch *batch,
                           struct err *err)
{
    enum { TOPIC, PARTITION, OFFSET, ERROR_TOPIC, ERROR_PARTITION };
    const int64_t range =
        find_range(batch, ledger_text(row, TOPIC), sqlite3_column_int(row, PARTITION));

    if (range < 0) {
        return ledger_damaged(
            ledger, err, "a record set aside of '%s'[%d], which batch %" PRId64 " doesn't read",
            ledger_text(row, TOPIC), sqlite3_column_int(row, PARTITION), batch->number);
    }
    batch->set_aside[batch->set_aside_count++] = (struct set_aside_mark){
        .range = (uint32_t)range,
        .offset = sqlite3_column_int64(row, OFFSET),
        .error_topic = mem_text(ledger_text(row, ERROR_TOPIC)),
        .error_partition = sqlite3_column_int(row, ERROR_PARTITION),
    };
    return true;
}

/* All rows of the batch that a statement gives, one by one. The arrays have room for `limit`. */
static bool load_rows(struct ledger *ledger, enum ledger_statement which, const char *sql,
                      size_t limit,
                      bool (*take)(struct ledger *, sqlite3_stmt *, struct batch *, struct err *),
                      struct batch *batch, struct err *err)
{
    sqlite3_stmt *rows = ledger_prepare(ledger, which, sql, err);
    bool row;

    if (rows == NULL) {
        return false;
    }
    ledger_bind_integer(rows, 1, batch->number);
    while (ledger_step(ledger, rows, &row, err)) {
        if (!row) {
            return true;
        }
        if (limit-- == 0) {
            sqlite3_reset(rows);
            return ledger_damaged(ledger, err, "batch %" PRId64 " changed while it was read",
                                  batch->number);
        }
        if (!take(ledger, rows, batch, err)) {
            sqlite3_reset(rows);
            return false;
        }
    }
    return false;
}

static bool load(struct ledger *ledger, struct batch *batch, const struct counts *counts,
                 struct err *err)
{
    batch->ranges = mem_array(counts->ranges, sizeof(*batch->ranges));
    batch->fences = mem_array(counts->fences, sizeof(*batch->fences));
    batch->progress = mem_array(counts->progress, sizeof(*batch->progress));
    batch->set_aside = mem_array(counts->set_aside, sizeof(*batch->set_aside));
    return ledger_definition_load(ledger, batch->definition.id, &batch->definition, err) &&
           load_rows(ledger, STATEMENT_UNSETTLED_RANGES, UNSETTLED_RANGES_SQL, counts->ranges,
                     take_range, batch, err) &&
           load_rows(ledger, STATEMENT_UNSETTLED_FENCES, UNSETTLED_FENCES_SQL, counts->fences,
                     take_fence, batch, err) &&
           load_rows(ledger, STATEMENT_UNSETTLED_PROGRESS, UNSETTLED_PROGRESS_SQL, counts->progress,
                     take_progress, batch, err) &&
           load_rows(ledger, STATEMENT_UNSETTLED_SET_ASIDE, UNSETTLED_SET_ASIDE_SQL,
                     counts->set_aside, take_set_aside, batch, err);
}

bool ledger_unsettled(struct ledger *ledger, struct batch *batch_out, bool *found_out,
                      struct err *err)
{
    struct batch batch = {0};
    struct counts counts = {0};
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_UNSETTLED_BATCH, UNSETTLED_BATCH_SQL, err);
    bool found;
    bool good;

    if (row == NULL || !ledger_step(ledger, row, &found, err)) {
        return err_wrap(err, "cannot look for a batch in doubt");
    }
    if (!found) {
        *found_out = false;
        return true;
    }
    good = load_batch(ledger, row, &batch, &counts, err);
    sqlite3_reset(row);
    if (!good || !load(ledger, &batch, &counts, err)) {
        batch_deinit(&batch);
        return err_wrap(err, "cannot load the batch in doubt");
    }
    *batch_out = batch;
    *found_out = true;
    return true;
}
