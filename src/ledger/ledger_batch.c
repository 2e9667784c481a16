/* A batch from its plan to its settling.
 *
 *     ─plan→ planned ─────────────────────settle→ settled
 *              └ fence_add, checkpoint, set_aside: durable before what they make safe
 *
 * What a plan holds isn't changed afterwards; the schema's triggers refuse it. Settling checks that
 * each number fits to what was planned: a range that ends elsewhere, a delivery without a fence or
 * a range left out is an error here and not a wrong row. */
#include "ledger_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const STATE[] = {
    [BATCH_PLANNED] = "planned", [BATCH_STAGED] = "staged", [BATCH_SETTLED] = "settled"};

/* OR ROLLBACK spares SQLite a statement journal; the caller's transaction is gone after a failure
 * anyway. */
static const char PLAN_BATCH_SQL[] =
    "INSERT OR ROLLBACK INTO oncesink_batch (batch, pipeline, incarnation, state, tick_ms, "
    "started_ms, "
    "planned_wall_ms, "
    "planned, limited_by, rate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char PLAN_RANGE_SQL[] = "INSERT INTO oncesink_batch_range (batch, topic, partition, "
                                     "from_offset, until_offset, end_offset, leader_epoch) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char PLAN_INPUT_SQL[] = "UPDATE oncesink_input SET end_offset = ?, end_ms = ? "
                                     "WHERE topic = ? AND partition = ? AND next_offset = ?";
static const char PLAN_LEDGER_SQL[] =
    "UPDATE oncesink_ledger SET batch = ?, last_ms = max(last_ms, ?) WHERE id = 1";
static const char FENCE_SQL[] =
    "INSERT INTO oncesink_batch_output (batch, topic, partition, fence_offset) "
    "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char CHECKPOINT_FENCE_SQL[] = "UPDATE oncesink_batch_output SET checkpoint_offset = ? "
                                           "WHERE batch = ? AND topic = ? AND partition = ?";
static const char PROGRESS_DROP_SQL[] = "DELETE FROM oncesink_batch_progress WHERE batch = ?";
static const char PROGRESS_ADD_SQL[] =
    "INSERT INTO oncesink_batch_progress (batch, topic, partition, output_topic, output_partition, "
    "offset, records) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char SET_ASIDE_SQL[] =
    "INSERT INTO oncesink_set_aside (batch, topic, partition, offset, timestamp_ms, key, value, "
    "headers, reason, "
    "error_topic, error_partition, wall_ms) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, topic, partition, ? "
    "FROM oncesink_batch_output WHERE batch = ?1 AND topic = ? AND partition = ?";
static const char SET_ASIDE_TOTAL_SQL[] =
    "UPDATE oncesink_ledger SET total_set_aside = total_set_aside + 1 WHERE id = 1";

/* ---- plan ---- */

static bool add_batch(struct ledger *ledger, const struct batch *batch, struct err *err)
{
    enum {
        BATCH = 1,
        PIPELINE,
        INCARNATION,
        STATE_WORD,
        TICK,
        STARTED,
        WALL,
        PLANNED,
        LIMITED,
        RATE
    };
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_PLAN_BATCH, PLAN_BATCH_SQL, err);

    if (add == NULL) {
        return false;
    }
    ledger_bind_integer(add, BATCH, batch->number);
    ledger_bind_integer(add, PIPELINE, batch->definition.id);
    ledger_bind_text(add, INCARNATION, ledger->identity.incarnation);
    ledger_bind_text(add, STATE_WORD, STATE[BATCH_PLANNED]);
    ledger_bind_integer(add, TICK, batch->tick_ms);
    ledger_bind_integer(add, STARTED, batch->started_ms);
    ledger_bind_integer(add, WALL, batch->planned_wall_ms);
    ledger_bind_integer(add, PLANNED, batch_planned(batch));
    ledger_bind_text(add, LIMITED, LIMITED_WORDS[batch->limited_by]);
    if (batch->rate > 0) {
        ledger_bind_real(add, RATE, batch->rate);
    } else {
        ledger_bind_null(add, RATE);
    }
    return ledger_run(ledger, add, err);
}

static bool add_range(struct ledger *ledger, const struct batch *batch, const struct range *range,
                      struct err *err)
{
    enum { BATCH = 1, TOPIC, PARTITION, FROM, UNTIL, END, EPOCH };
    enum { INPUT_END = 1, INPUT_END_MS, INPUT_TOPIC, INPUT_PARTITION, INPUT_NEXT };
    const char *topic = batch->definition.inputs[range->input].topic;
    const int64_t end = range->end > range->until ? range->end : range->until;
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_PLAN_RANGE, PLAN_RANGE_SQL, err);
    sqlite3_stmt *input = ledger_prepare(ledger, STATEMENT_PLAN_INPUT, PLAN_INPUT_SQL, err);

    assert(range->until > range->from);
    if (add == NULL || input == NULL) {
        return false;
    }
    ledger_bind_integer(add, BATCH, batch->number);
    ledger_bind_text(add, TOPIC, topic);
    ledger_bind_integer(add, PARTITION, range->partition);
    ledger_bind_integer(add, FROM, range->from);
    ledger_bind_integer(add, UNTIL, range->until);
    ledger_bind_integer(add, END, end);
    ledger_bind_integer(add, EPOCH, range->leader_epoch);
    ledger_bind_integer(input, INPUT_END, end);
    ledger_bind_integer(input, INPUT_END_MS, batch->started_ms);
    ledger_bind_text(input, INPUT_TOPIC, topic);
    ledger_bind_integer(input, INPUT_PARTITION, range->partition);
    ledger_bind_integer(input, INPUT_NEXT, range->from);
    if (!ledger_run(ledger, add, err) || !ledger_run(ledger, input, err)) {
        return false;
    }
    if (sqlite3_changes(ledger->db) != 1) {
        return ledger_damaged(ledger, err,
                              "the next offset of '%s'[%" PRId32 "] isn't %" PRId64
                              " as it was at the last look: someone else changed it",
                              topic, range->partition, range->from);
    }
    return true;
}

static bool add_fence(struct ledger *ledger, int64_t batch, const struct fence *fence,
                      struct err *err)
{
    enum { BATCH = 1, TOPIC, PARTITION, OFFSET };
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_FENCE, FENCE_SQL, err);

    if (add == NULL) {
        return false;
    }
    ledger_bind_integer(add, BATCH, batch);
    ledger_bind_text(add, TOPIC, fence->topic);
    ledger_bind_integer(add, PARTITION, fence->partition);
    ledger_bind_integer(add, OFFSET, fence->offset);
    return ledger_run(ledger, add, err);
}

static bool note_plan(struct ledger *ledger, const struct batch *batch, struct err *err)
{
    const int64_t last_ms = batch->started_ms > batch->tick_ms ? batch->started_ms : batch->tick_ms;
    sqlite3_stmt *set = ledger_prepare(ledger, STATEMENT_PLAN_LEDGER, PLAN_LEDGER_SQL, err);

    if (set == NULL) {
        return false;
    }
    ledger_bind_integer(set, 1, batch->number);
    ledger_bind_integer(set, 2, last_ms);
    if (!ledger_run(ledger, set, err)) {
        return false;
    }
    ledger->identity.batch = batch->number;
    if (last_ms > ledger->identity.last_ms) {
        ledger->identity.last_ms = last_ms;
    }
    return true;
}

bool ledger_plan(struct ledger *ledger, const struct batch *batch, struct err *err)
{
    bool good;

    assert(ledger->in_transaction);
    assert(ledger->identity.incarnation[0] != '\0');
    assert(ledger->identity.settled == ledger->identity.batch);
    assert(batch->number == ledger->identity.batch + 1);
    assert(batch->state == BATCH_PLANNED && batch->definition.id > 0 && batch->range_count > 0);
    good = add_batch(ledger, batch, err);
    for (size_t i = 0; good && i < batch->range_count; i++) {
        good = add_range(ledger, batch, &batch->ranges[i], err);
    }
    for (size_t i = 0; good && i < batch->fence_count; i++) {
        good = add_fence(ledger, batch->number, &batch->fences[i], err);
    }
    good = good && note_plan(ledger, batch, err);
    return good || err_wrap(err, "cannot plan batch %" PRId64, batch->number);
}

/* ---- while it is delivered ---- */

bool ledger_fence_add(struct ledger *ledger, int64_t batch, const struct fence *fence,
                      struct err *err)
{
    assert(ledger->in_transaction);
    return add_fence(ledger, batch, fence, err) ||
           err_wrap(err, "cannot fence '%s'[%" PRId32 "] for batch %" PRId64, fence->topic,
                    fence->partition, batch);
}

static bool raise_fence(struct ledger *ledger, int64_t batch, const struct fence *fence,
                        struct err *err)
{
    enum { OFFSET = 1, BATCH, TOPIC, PARTITION };
    sqlite3_stmt *raise =
        ledger_prepare(ledger, STATEMENT_CHECKPOINT_FENCE, CHECKPOINT_FENCE_SQL, err);

    if (raise == NULL) {
        return false;
    }
    ledger_bind_integer(raise, OFFSET, fence->offset);
    ledger_bind_integer(raise, BATCH, batch);
    ledger_bind_text(raise, TOPIC, fence->topic);
    ledger_bind_integer(raise, PARTITION, fence->partition);
    if (!ledger_run(ledger, raise, err)) {
        return false;
    }
    return sqlite3_changes(ledger->db) == 1 ||
           ledger_damaged(ledger, err, "no fence for '%s'[%" PRId32 "]", fence->topic,
                          fence->partition);
}

static bool drop_progress(struct ledger *ledger, int64_t batch, struct err *err)
{
    sqlite3_stmt *drop = ledger_prepare(ledger, STATEMENT_PROGRESS_DROP, PROGRESS_DROP_SQL, err);

    if (drop == NULL) {
        return false;
    }
    ledger_bind_integer(drop, 1, batch);
    return ledger_run(ledger, drop, err);
}

static bool add_progress(struct ledger *ledger, const struct batch *batch,
                         const struct progress *progress, struct err *err)
{
    enum { BATCH = 1, TOPIC, PARTITION, OUTPUT_TOPIC, OUTPUT_PARTITION, OFFSET, RECORDS };
    const struct range *range = &batch->ranges[progress->range];
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_PROGRESS_ADD, PROGRESS_ADD_SQL, err);

    assert(progress->range < batch->range_count);
    if (add == NULL) {
        return false;
    }
    ledger_bind_integer(add, BATCH, batch->number);
    ledger_bind_text(add, TOPIC, batch->definition.inputs[range->input].topic);
    ledger_bind_integer(add, PARTITION, range->partition);
    ledger_bind_text(add, OUTPUT_TOPIC, progress->topic);
    ledger_bind_integer(add, OUTPUT_PARTITION, progress->partition);
    ledger_bind_integer(add, OFFSET, progress->offset);
    ledger_bind_integer(add, RECORDS, progress->records);
    return ledger_run(ledger, add, err);
}

bool ledger_checkpoint(struct ledger *ledger, const struct batch *batch, const struct fence *fences,
                       size_t fence_count, const struct progress *progress, size_t progress_count,
                       struct err *err)
{
    bool good;

    assert(ledger->in_transaction);
    good = drop_progress(ledger, batch->number, err);
    for (size_t i = 0; good && i < fence_count; i++) {
        good = raise_fence(ledger, batch->number, &fences[i], err);
    }
    for (size_t i = 0; good && i < progress_count; i++) {
        good = add_progress(ledger, batch, &progress[i], err);
    }
    return good || err_wrap(err, "cannot checkpoint batch %" PRId64, batch->number);
}

static bool add_set_aside(struct ledger *ledger, int64_t batch, const struct ledger_record *record,
                          const char *reason, const char *error_topic, int32_t error_partition,
                          int64_t wall_ms, struct err *err)
{
    enum {
        BATCH = 1,
        TOPIC,
        PARTITION,
        OFFSET,
        TIMESTAMP,
        KEY,
        VALUE,
        HEADERS,
        REASON,
        WALL,
        ERROR_TOPIC,
        ERROR_PARTITION
    };
    sqlite3_stmt *add = ledger_prepare(ledger, STATEMENT_SET_ASIDE, SET_ASIDE_SQL, err);
    sqlite3_stmt *total =
        ledger_prepare(ledger, STATEMENT_SET_ASIDE_TOTAL, SET_ASIDE_TOTAL_SQL, err);

    if (add == NULL || total == NULL) {
        return false;
    }
    ledger_bind_integer(add, BATCH, batch);
    ledger_bind_text(add, TOPIC, record->topic);
    ledger_bind_integer(add, PARTITION, record->partition);
    ledger_bind_integer(add, OFFSET, record->offset);
    ledger_bind_integer(add, TIMESTAMP, record->timestamp_ms);
    ledger_bind_blob(add, KEY, record->key, record->key_size);
    ledger_bind_blob(add, VALUE, record->value, record->value_size);
    ledger_bind_blob(add, HEADERS, record->headers, record->headers_size);
    ledger_bind_text(add, REASON, reason);
    ledger_bind_integer(add, WALL, wall_ms);
    ledger_bind_text(add, ERROR_TOPIC, error_topic);
    ledger_bind_integer(add, ERROR_PARTITION, error_partition);
    if (!ledger_run(ledger, add, err)) {
        return false;
    }
    if (sqlite3_changes(ledger->db) != 1) {
        return ledger_damaged(ledger, err, "no fence for error partition '%s'[%" PRId32 "]",
                              error_topic, error_partition);
    }
    return ledger_run(ledger, total, err);
}

bool ledger_set_aside(struct ledger *ledger, int64_t batch, const struct ledger_record *record,
                      const char *reason, const char *error_topic, int32_t error_partition,
                      int64_t wall_ms, struct err *err)
{
    assert(ledger->in_transaction);
    return add_set_aside(ledger, batch, record, reason, error_topic, error_partition, wall_ms,
                         err) ||
           err_wrap(err, "cannot set aside '%s'[%" PRId32 "]@%" PRId64, record->topic,
                    record->partition, record->offset);
}
