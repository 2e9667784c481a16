/* Positions: the next offset of every input partition, and the next fence of every output
 * partition.
 *
 * An input's position moves by settling a batch (ledger_batch.c). Whoever moves it otherwise
 * (offsets lost to retention, a person's act) leaves a row in oncesink_jump, so that verify can
 * tell a jump from a hole. */
#include "ledger_internal.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>

static const char INPUTS_SQL[] =
    "SELECT topic, partition, topic_id, next_offset, leader_epoch, "
    "coalesce(end_offset, -1) FROM oncesink_input ORDER BY topic, partition";
static const char OUTPUTS_SQL[] =
    "SELECT topic, partition, topic_id, next_offset, refreshed_wall_ms "
    "FROM oncesink_output ORDER BY topic, partition";
static const char INPUT_JUMP_SQL[] =
    "INSERT INTO oncesink_jump (batch, topic, partition, from_offset, to_offset) "
    "SELECT ?, topic, partition, next_offset, ? FROM oncesink_input "
    "WHERE topic = ? AND partition = ? AND next_offset <> ?2";
static const char INPUT_PUT_SQL[] =
    "INSERT INTO oncesink_input (topic, partition, topic_id, first_offset, next_offset, "
    "leader_epoch) "
    "VALUES (?1, ?2, ?3, ?4, ?4, ?5) "
    "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = ?4, leader_epoch = ?5, "
    "topic_id = CASE WHEN ?3 = '' THEN topic_id ELSE ?3 END";
static const char OUTPUT_PUT_SQL[] =
    "INSERT INTO oncesink_output (topic, partition, topic_id, next_offset, refreshed_wall_ms) "
    "VALUES (?1, ?2, ?3, ?4, ?5) "
    "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = ?4, refreshed_wall_ms = ?5, "
    "topic_id = CASE WHEN ?3 = '' THEN topic_id ELSE ?3 END";

void ledger_inputs_deinit(struct ledger_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        free(inputs->items[i].topic);
    }
    free(inputs->items);
    *inputs = (struct ledger_inputs){0};
}

void ledger_outputs_deinit(struct ledger_outputs *outputs)
{
    for (size_t i = 0; i < outputs->count; i++) {
        free(outputs->items[i].topic);
    }
    free(outputs->items);
    *outputs = (struct ledger_outputs){0};
}

static bool add_input(struct ledger *ledger, sqlite3_stmt *row, struct ledger_inputs *inputs,
                      struct err *err)
{
    enum { TOPIC, PARTITION, TOPIC_ID, NEXT, EPOCH, END };
    struct ledger_input *input;

    inputs->items = mem_grow(inputs->items, inputs->count + 1, sizeof(*inputs->items));
    input = &inputs->items[inputs->count++];
    *input = (struct ledger_input){
        .topic = mem_text(ledger_text(row, TOPIC)),
        .partition = sqlite3_column_int(row, PARTITION),
        .next_offset = sqlite3_column_int64(row, NEXT),
        .leader_epoch = sqlite3_column_int(row, EPOCH),
        .end_offset = sqlite3_column_int64(row, END),
    };
    if (!ledger_text_copy(row, TOPIC_ID, input->topic_id, sizeof(input->topic_id))) {
        return ledger_damaged(ledger, err, "topic id of '%s' in oncesink_input", input->topic);
    }
    return true;
}

bool ledger_inputs_load(struct ledger *ledger, struct ledger_inputs *inputs_out, struct err *err)
{
    struct ledger_inputs inputs = {0};
    sqlite3_stmt *rows = ledger_prepare(ledger, STATEMENT_INPUTS, INPUTS_SQL, err);
    bool row = true;

    if (rows == NULL) {
        return false;
    }
    while (ledger_step(ledger, rows, &row, err)) {
        if (!row) {
            *inputs_out = inputs;
            return true;
        }
        if (!add_input(ledger, rows, &inputs, err)) {
            break;
        }
    }
    sqlite3_reset(rows);
    ledger_inputs_deinit(&inputs);
    return false;
}

static bool add_output(struct ledger *ledger, sqlite3_stmt *row, struct ledger_outputs *outputs,
                       struct err *err)
{
    enum { TOPIC, PARTITION, TOPIC_ID, NEXT, REFRESHED };
    struct ledger_output *output;

    outputs->items = mem_grow(outputs->items, outputs->count + 1, sizeof(*outputs->items));
    output = &outputs->items[outputs->count++];
    *output = (struct ledger_output){
        .topic = mem_text(ledger_text(row, TOPIC)),
        .partition = sqlite3_column_int(row, PARTITION),
        .next_offset = sqlite3_column_int64(row, NEXT),
        .refreshed_wall_ms = sqlite3_column_int64(row, REFRESHED),
    };
    if (!ledger_text_copy(row, TOPIC_ID, output->topic_id, sizeof(output->topic_id))) {
        return ledger_damaged(ledger, err, "topic id of '%s' in oncesink_output", output->topic);
    }
    return true;
}

bool ledger_outputs_load(struct ledger *ledger, struct ledger_outputs *outputs_out, struct err *err)
{
    struct ledger_outputs outputs = {0};
    sqlite3_stmt *rows = ledger_prepare(ledger, STATEMENT_OUTPUTS, OUTPUTS_SQL, err);
    bool row = true;

    if (rows == NULL) {
        return false;
    }
    while (ledger_step(ledger, rows, &row, err)) {
        if (!row) {
            *outputs_out = outputs;
            return true;
        }
        if (!add_output(ledger, rows, &outputs, err)) {
            break;
        }
    }
    sqlite3_reset(rows);
    ledger_outputs_deinit(&outputs);
    return false;
}

static bool note_jump(struct ledger *ledger, const struct ledger_input *input, struct err *err)
{
    enum { BATCH = 1, TO, TOPIC, PARTITION };
    sqlite3_stmt *jump = ledger_prepare(ledger, STATEMENT_INPUT_JUMP, INPUT_JUMP_SQL, err);

    if (jump == NULL) {
        return false;
    }
    ledger_bind_integer(jump, BATCH, ledger->identity.batch);
    ledger_bind_integer(jump, TO, input->next_offset);
    ledger_bind_text(jump, TOPIC, input->topic);
    ledger_bind_integer(jump, PARTITION, input->partition);
    return ledger_run(ledger, jump, err);
}

bool ledger_input_put(struct ledger *ledger, const struct ledger_input *input, struct err *err)
{
    enum { TOPIC = 1, PARTITION, TOPIC_ID, NEXT, EPOCH };
    sqlite3_stmt *put;

    assert(ledger->in_transaction);
    if (!note_jump(ledger, input, err)) {
        return false;
    }
    put = ledger_prepare(ledger, STATEMENT_INPUT_PUT, INPUT_PUT_SQL, err);
    if (put == NULL) {
        return false;
    }
    ledger_bind_text(put, TOPIC, input->topic);
    ledger_bind_integer(put, PARTITION, input->partition);
    ledger_bind_text(put, TOPIC_ID, input->topic_id);
    ledger_bind_integer(put, NEXT, input->next_offset);
    ledger_bind_integer(put, EPOCH, input->leader_epoch);
    return ledger_run(ledger, put, err) ||
           err_wrap(err, "cannot put input '%s'[%d]", input->topic, input->partition);
}

bool ledger_output_put(struct ledger *ledger, const struct ledger_output *output, struct err *err)
{
    enum { TOPIC = 1, PARTITION, TOPIC_ID, NEXT, REFRESHED };
    sqlite3_stmt *put = ledger_prepare(ledger, STATEMENT_OUTPUT_PUT, OUTPUT_PUT_SQL, err);

    assert(ledger->in_transaction);
    if (put == NULL) {
        return false;
    }
    ledger_bind_text(put, TOPIC, output->topic);
    ledger_bind_integer(put, PARTITION, output->partition);
    ledger_bind_text(put, TOPIC_ID, output->topic_id);
    ledger_bind_integer(put, NEXT, output->next_offset);
    ledger_bind_integer(put, REFRESHED, output->refreshed_wall_ms);
    return ledger_run(ledger, put, err) ||
           err_wrap(err, "cannot put output '%s'[%d]", output->topic, output->partition);
}
