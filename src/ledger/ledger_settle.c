/* Settling: the batch's outcome, the next offsets, the totals and the estimator's state, in the
 * caller's transaction.
 *
 * Each row is changed under a condition that says what it must be like, and must be found exactly
 * once: settling a batch that isn't in doubt, at other offsets than planned, with a range left out
 * or with a delivery where no fence stood is an error, and the transaction is gone. */
#include "ledger_internal.h"

#include <assert.h>
#include <inttypes.h>

/* OR ROLLBACK spares SQLite a statement journal; the caller's transaction is gone after a failure
 * anyway. */
static const char SETTLE_BATCH_SQL[] =
    "UPDATE OR ROLLBACK oncesink_batch SET state = 'settled', outcome = ?, ended_ms = ?, "
    "settled_wall_ms = ?, "
    "scheduling_ms = ?, processing_ms = ?, records = ?, outputs = ?, found = ? "
    "WHERE batch = ? AND state <> 'settled'";
static const char SETTLE_RANGE_SQL[] =
    "UPDATE oncesink_batch_range SET records = ? "
    "WHERE batch = ? AND topic = ? AND partition = ? AND until_offset = ? AND records IS NULL";
static const char SETTLE_INPUT_SQL[] =
    "UPDATE oncesink_input SET next_offset = ?1, leader_epoch = ?2, records = records + ?3, "
    "topic_id = CASE WHEN ?4 = '' THEN topic_id ELSE ?4 END WHERE topic = ?5 AND partition = ?6";
static const char SETTLE_LEFT_SQL[] =
    "SELECT topic, partition FROM oncesink_batch_range WHERE batch = ? AND records IS NULL LIMIT 1";
static const char SETTLE_FENCE_SQL[] =
    "UPDATE oncesink_batch_output SET records = ?1, until_offset = ?2 "
    "WHERE batch = ?3 AND topic = ?4 AND partition = ?5 AND fence_offset <= ?2 AND records IS NULL";
static const char SETTLE_OUTPUT_SQL[] =
    "INSERT INTO oncesink_output (topic, partition, topic_id, next_offset, refreshed_wall_ms, "
    "records) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
    "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = ?4, refreshed_wall_ms = ?5, "
    "records = records + ?6, topic_id = CASE WHEN ?3 = '' THEN topic_id ELSE ?3 END";
static const char SETTLE_LEDGER_SQL[] =
    "UPDATE oncesink_ledger SET settled = ?1, last_ms = max(last_ms, ?2), total_batches = "
    "total_batches + 1, "
    "total_recovered = total_recovered + ?3, total_records = total_records + ?4, "
    "total_outputs = total_outputs + ?5, total_found = total_found + ?6, "
    "total_planned = total_planned + (SELECT planned FROM oncesink_batch WHERE batch = ?1) WHERE "
    "id = 1";

static bool settle_batch(struct ledger *ledger, const struct ledger_settlement *settlement,
                         struct err *err)
{
    enum { OUTCOME = 1, ENDED, WALL, SCHEDULING, PROCESSING, RECORDS, OUTPUTS, FOUND, BATCH };
    sqlite3_stmt *settle = ledger_prepare(ledger, STATEMENT_SETTLE_BATCH, SETTLE_BATCH_SQL, err);

    if (settle == NULL) {
        return false;
    }
    ledger_bind_text(settle, OUTCOME, settlement->recovered ? "recovered" : "ok");
    ledger_bind_integer(settle, ENDED, settlement->ended_ms);
    ledger_bind_integer(settle, WALL, settlement->settled_wall_ms);
    ledger_bind_integer(settle, SCHEDULING, settlement->scheduling_ms);
    ledger_bind_integer(settle, PROCESSING, settlement->processing_ms);
    ledger_bind_integer(settle, RECORDS, settlement->records);
    ledger_bind_integer(settle, OUTPUTS, settlement->outputs);
    ledger_bind_integer(settle, FOUND, settlement->found);
    ledger_bind_integer(settle, BATCH, settlement->batch);
    if (!ledger_run(ledger, settle, err)) {
        return false;
    }
    return sqlite3_changes(ledger->db) == 1 ||
           ledger_damaged(ledger, err, "the batch isn't in doubt");
}

static bool settle_range(struct ledger *ledger, int64_t batch, const struct ledger_input *input,
                         int64_t records, struct err *err)
{
    enum { RECORDS = 1, BATCH, TOPIC, PARTITION, UNTIL };
    sqlite3_stmt *settle = ledger_prepare(ledger, STATEMENT_SETTLE_RANGE, SETTLE_RANGE_SQL, err);

    if (settle == NULL) {
        return false;
    }
    ledger_bind_integer(settle, RECORDS, records);
    ledger_bind_integer(settle, BATCH, batch);
    ledger_bind_text(settle, TOPIC, input->topic);
    ledger_bind_integer(settle, PARTITION, input->partition);
    ledger_bind_integer(settle, UNTIL, input->next_offset);
    if (!ledger_run(ledger, settle, err)) {
        return false;
    }
    return sqlite3_changes(ledger->db) == 1 ||
           ledger_damaged(ledger, err, "no unsettled range of '%s'[%" PRId32 "] ends at %" PRId64,
                          input->topic, input->partition, input->next_offset);
}

static bool settle_input(struct ledger *ledger, const struct ledger_input *input, int64_t records,
                         struct err *err)
{
    enum { NEXT = 1, EPOCH, RECORDS, TOPIC_ID, TOPIC, PARTITION };
    sqlite3_stmt *settle = ledger_prepare(ledger, STATEMENT_SETTLE_INPUT, SETTLE_INPUT_SQL, err);

    if (settle == NULL) {
        return false;
    }
    ledger_bind_integer(settle, NEXT, input->next_offset);
    ledger_bind_integer(settle, EPOCH, input->leader_epoch);
    ledger_bind_integer(settle, RECORDS, records);
    ledger_bind_text(settle, TOPIC_ID, input->topic_id);
    ledger_bind_text(settle, TOPIC, input->topic);
    ledger_bind_integer(settle, PARTITION, input->partition);
    if (!ledger_run(ledger, settle, err)) {
        return false;
    }
    return sqlite3_changes(ledger->db) == 1 ||
           ledger_damaged(ledger, err, "no row of input '%s'[%" PRId32 "]", input->topic,
                          input->partition);
}

static bool check_none_left(struct ledger *ledger, int64_t batch, struct err *err)
{
    sqlite3_stmt *left = ledger_prepare(ledger, STATEMENT_SETTLE_LEFT, SETTLE_LEFT_SQL, err);
    bool row;

    if (left == NULL) {
        return false;
    }
    ledger_bind_integer(left, 1, batch);
    if (!ledger_step(ledger, left, &row, err)) {
        return false;
    }
    if (row) {
        ledger_damaged(ledger, err, "the range of '%s'[%d] is left unsettled", ledger_text(left, 0),
                       sqlite3_column_int(left, 1));
        sqlite3_reset(left);
        return false;
    }
    return true;
}

static bool settle_fence(struct ledger *ledger, int64_t batch, const struct ledger_output *output,
                         int64_t records, struct err *err)
{
    enum { RECORDS = 1, UNTIL, BATCH, TOPIC, PARTITION };
    sqlite3_stmt *settle = ledger_prepare(ledger, STATEMENT_SETTLE_FENCE, SETTLE_FENCE_SQL, err);

    if (settle == NULL) {
        return false;
    }
    ledger_bind_integer(settle, RECORDS, records);
    ledger_bind_integer(settle, UNTIL, output->next_offset);
    ledger_bind_integer(settle, BATCH, batch);
    ledger_bind_text(settle, TOPIC, output->topic);
    ledger_bind_integer(settle, PARTITION, output->partition);
    if (!ledger_run(ledger, settle, err)) {
        return false;
    }
    return sqlite3_changes(ledger->db) == 1 ||
           ledger_damaged(ledger, err,
                          "'%s'[%" PRId32 "] was delivered to up to %" PRId64
                          " without a fence below",
                          output->topic, output->partition, output->next_offset);
}

static bool settle_output(struct ledger *ledger, const struct ledger_output *output,
                          int64_t records, struct err *err)
{
    enum { TOPIC = 1, PARTITION, TOPIC_ID, NEXT, REFRESHED, RECORDS };
    sqlite3_stmt *settle = ledger_prepare(ledger, STATEMENT_SETTLE_OUTPUT, SETTLE_OUTPUT_SQL, err);

    if (settle == NULL) {
        return false;
    }
    ledger_bind_text(settle, TOPIC, output->topic);
    ledger_bind_integer(settle, PARTITION, output->partition);
    ledger_bind_text(settle, TOPIC_ID, output->topic_id);
    ledger_bind_integer(settle, NEXT, output->next_offset);
    ledger_bind_integer(settle, REFRESHED, output->refreshed_wall_ms);
    ledger_bind_integer(settle, RECORDS, records);
    return ledger_run(ledger, settle, err);
}

static bool drop_progress(struct ledger *ledger, int64_t batch, struct err *err)
{
    sqlite3_stmt *drop = ledger_prepare(ledger, STATEMENT_SETTLE_PROGRESS,
                                        "DELETE FROM oncesink_batch_progress WHERE batch = ?", err);

    if (drop == NULL) {
        return false;
    }
    ledger_bind_integer(drop, 1, batch);
    return ledger_run(ledger, drop, err);
}

static bool note_settled(struct ledger *ledger, const struct ledger_settlement *settlement,
                         struct err *err)
{
    enum { BATCH = 1, LAST, RECOVERED, RECORDS, OUTPUTS, FOUND };
    sqlite3_stmt *set = ledger_prepare(ledger, STATEMENT_SETTLE_LEDGER, SETTLE_LEDGER_SQL, err);

    if (set == NULL) {
        return false;
    }
    ledger_bind_integer(set, BATCH, settlement->batch);
    ledger_bind_integer(set, LAST, settlement->ended_ms);
    ledger_bind_integer(set, RECOVERED, settlement->recovered ? 1 : 0);
    ledger_bind_integer(set, RECORDS, settlement->records);
    ledger_bind_integer(set, OUTPUTS, settlement->outputs);
    ledger_bind_integer(set, FOUND, settlement->found);
    if (!ledger_run(ledger, set, err)) {
        return false;
    }
    ledger->identity.settled = settlement->batch;
    if (settlement->ended_ms > ledger->identity.last_ms) {
        ledger->identity.last_ms = settlement->ended_ms;
    }
    return true;
}

bool ledger_settle(struct ledger *ledger, const struct ledger_settlement *settlement,
                   struct err *err)
{
    bool good;

    assert(ledger->in_transaction);
    assert(settlement->batch == ledger->identity.batch &&
           settlement->batch == ledger->identity.settled + 1);
    good = settle_batch(ledger, settlement, err);
    for (size_t i = 0; good && i < settlement->input_count; i++) {
        const struct ledger_input *input = &settlement->inputs[i];
        const int64_t records = settlement->input_records[i];

        good = settle_range(ledger, settlement->batch, input, records, err) &&
               settle_input(ledger, input, records, err);
    }
    for (size_t i = 0; good && i < settlement->output_count; i++) {
        const struct ledger_output *output = &settlement->outputs_after[i];
        const int64_t records = settlement->output_records[i];

        good = settle_fence(ledger, settlement->batch, output, records, err) &&
               settle_output(ledger, output, records, err);
    }
    good = good && check_none_left(ledger, settlement->batch, err) &&
           drop_progress(ledger, settlement->batch, err) && note_settled(ledger, settlement, err) &&
           (settlement->rate == NULL ||
            ledger_rate_put(ledger, settlement->batch, settlement->rate, err));
    return good || err_wrap(err, "cannot settle batch %" PRId64, settlement->batch);
}
