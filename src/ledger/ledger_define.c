/* Definitions: stored once, never changed, shared by all batches that are the same (R0).
 *
 * The one met last is kept in memory, so that a plan usually asks nothing. Otherwise the stored
 * ones are compared, the newest first: topic ids that weren't known yet don't make a definition
 * another one. */
#include "ledger_internal.h"

#include "mem.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const DELIVERY[] = {
    [DELIVERY_IDEMPOTENT] = "idempotent", [DELIVERY_TRANSACTIONAL] = "transactional"};
static const char *const PROVENANCE[] = {[PROVENANCE_HEADERS] = "headers",
                                         [PROVENANCE_POSITIONS] = "positions",
                                         [PROVENANCE_NONE] = "none"};
static const char *const PARTITIONER[] = {[PARTITIONER_SAME] = "same", [PARTITIONER_KEY] = "key"};
static const char *const ISOLATION[] = {[ISOLATION_READ_COMMITTED] = "read_committed",
                                        [ISOLATION_READ_UNCOMMITTED] = "read_uncommitted"};
static const char *const ON_DATA_LOSS[] = {
    [ON_DATA_LOSS_STOP] = "stop", [ON_DATA_LOSS_CONTINUE] = "continue"};
static const char *const ON_BAD_RECORD[] = {
    [ON_BAD_RECORD_STOP] = "stop", [ON_BAD_RECORD_SET_ASIDE] = "set-aside"};
#define COUNT_OF(words) (sizeof(words) / sizeof((words)[0]))

static const char PIPELINES_SQL[] = "SELECT pipeline FROM oncesink_pipeline ORDER BY pipeline DESC";
static const char PIPELINE_LOAD_SQL[] =
    "SELECT delivery, provenance, partitioner, isolation, on_data_loss, on_bad_record "
    "FROM oncesink_pipeline WHERE pipeline = ?";
static const char PIPELINE_INPUTS_SQL[] =
    "SELECT topic, topic_id, output_topic, error_topic "
    "FROM oncesink_pipeline_input WHERE pipeline = ? ORDER BY topic";
static const char PIPELINE_OUTPUTS_SQL[] =
    "SELECT topic, topic_id, partitions "
    "FROM oncesink_pipeline_output WHERE pipeline = ? ORDER BY topic";
static const char PIPELINE_ADD_SQL[] = "INSERT INTO oncesink_pipeline (delivery, provenance, "
                                       "partitioner, isolation, on_data_loss, on_bad_record) "
                                       "VALUES (?, ?, ?, ?, ?, ?)";
static const char PIPELINE_INPUT_ADD_SQL[] =
    "INSERT INTO oncesink_pipeline_input (pipeline, topic, topic_id, output_topic, error_topic) "
    "VALUES (?, ?, ?, ?, ?)";
static const char PIPELINE_OUTPUT_ADD_SQL[] = "INSERT INTO oncesink_pipeline_output (pipeline, "
                                              "topic, topic_id, partitions) VALUES (?, ?, ?, ?)";

/* The word's place in the list, -1 when it isn't there. */
static int word_of(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool load_row(struct ledger *ledger, sqlite3_stmt *row, struct definition *definition,
                     struct err *err)
{
    enum {
        COL_DELIVERY,
        COL_PROVENANCE,
        COL_PARTITIONER,
        COL_ISOLATION,
        COL_DATA_LOSS,
        COL_BAD_RECORD
    };
    const int delivery = word_of(DELIVERY, COUNT_OF(DELIVERY), ledger_text(row, COL_DELIVERY));
    const int provenance =
        word_of(PROVENANCE, COUNT_OF(PROVENANCE), ledger_text(row, COL_PROVENANCE));
    const int partitioner =
        word_of(PARTITIONER, COUNT_OF(PARTITIONER), ledger_text(row, COL_PARTITIONER));
    const int isolation = word_of(ISOLATION, COUNT_OF(ISOLATION), ledger_text(row, COL_ISOLATION));
    const int data_loss =
        word_of(ON_DATA_LOSS, COUNT_OF(ON_DATA_LOSS), ledger_text(row, COL_DATA_LOSS));
    const int bad_record =
        word_of(ON_BAD_RECORD, COUNT_OF(ON_BAD_RECORD), ledger_text(row, COL_BAD_RECORD));

    if (delivery < 0 || provenance < 0 || partitioner < 0 || isolation < 0 || data_loss < 0 ||
        bad_record < 0) {
        return ledger_damaged(ledger, err, "an unknown word in oncesink_pipeline %" PRId64,
                              definition->id);
    }
    definition->delivery = (enum delivery)delivery;
    definition->provenance = (enum provenance_kind)provenance;
    definition->partitioner = (enum partitioner)partitioner;
    definition->isolation = (enum isolation)isolation;
    definition->on_data_loss = (enum on_data_loss)data_loss;
    definition->on_bad_record = (enum on_bad_record)bad_record;
    return true;
}

static bool load_outputs(struct ledger *ledger, struct definition *definition, struct err *err)
{
    enum { TOPIC, TOPIC_ID, PARTITIONS };
    sqlite3_stmt *rows =
        ledger_prepare(ledger, STATEMENT_PIPELINE_OUTPUTS, PIPELINE_OUTPUTS_SQL, err);
    bool row;

    if (rows == NULL) {
        return false;
    }
    ledger_bind_integer(rows, 1, definition->id);
    while (ledger_step(ledger, rows, &row, err)) {
        struct definition_output *output;

        if (!row) {
            return true;
        }
        definition->outputs = mem_grow(definition->outputs, definition->output_count + 1,
                                       sizeof(*definition->outputs));
        output = &definition->outputs[definition->output_count++];
        *output = (struct definition_output){
            .topic = mem_text(ledger_text(rows, TOPIC)),
            .partitions = sqlite3_column_int(rows, PARTITIONS),
        };
        if (!ledger_text_copy(rows, TOPIC_ID, output->topic_id, sizeof(output->topic_id))) {
            sqlite3_reset(rows);
            return ledger_damaged(ledger, err, "topic id of '%s' in oncesink_pipeline_output",
                                  output->topic);
        }
    }
    return false;
}

static bool load_input(struct ledger *ledger, sqlite3_stmt *row, struct definition *definition,
                       struct err *err)
{
    enum { TOPIC, TOPIC_ID, OUTPUT_TOPIC, ERROR_TOPIC };
    struct definition_input *input;
    const int output = definition_find_output(definition, ledger_text(row, OUTPUT_TOPIC));

    definition->inputs =
        mem_grow(definition->inputs, definition->input_count + 1, sizeof(*definition->inputs));
    input = &definition->inputs[definition->input_count++];
    *input = (struct definition_input){
        .topic = mem_text(ledger_text(row, TOPIC)),
        .error_topic = mem_text(ledger_text(row, ERROR_TOPIC)),
    };
    if (output < 0 || !ledger_text_copy(row, TOPIC_ID, input->topic_id, sizeof(input->topic_id))) {
        return ledger_damaged(ledger, err, "output or topic id of '%s' in oncesink_pipeline_input",
                              input->topic);
    }
    input->output = (uint32_t)output;
    return true;
}

static bool load_inputs(struct ledger *ledger, struct definition *definition, struct err *err)
{
    sqlite3_stmt *rows =
        ledger_prepare(ledger, STATEMENT_PIPELINE_INPUTS, PIPELINE_INPUTS_SQL, err);
    bool row;

    if (rows == NULL) {
        return false;
    }
    ledger_bind_integer(rows, 1, definition->id);
    while (ledger_step(ledger, rows, &row, err)) {
        if (!row) {
            return true;
        }
        if (!load_input(ledger, rows, definition, err)) {
            sqlite3_reset(rows);
            return false;
        }
    }
    return false;
}

bool ledger_definition_load(struct ledger *ledger, int64_t id, struct definition *definition_out,
                            struct err *err)
{
    struct definition definition = {.id = id};
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_PIPELINE_LOAD, PIPELINE_LOAD_SQL, err);
    bool found;
    bool good;

    if (row == NULL) {
        return false;
    }
    ledger_bind_integer(row, 1, id);
    if (!ledger_step(ledger, row, &found, err)) {
        return false;
    }
    if (!found) {
        return ledger_damaged(ledger, err, "no row %" PRId64 " in oncesink_pipeline", id);
    }
    good = load_row(ledger, row, &definition, err);
    sqlite3_reset(row);
    if (!good || !load_outputs(ledger, &definition, err) ||
        !load_inputs(ledger, &definition, err)) {
        definition_deinit(&definition);
        return false;
    }
    *definition_out = definition;
    return true;
}

/* Goes through the stored ones, the newest first; `defined` is the one found, or empty. */
static bool find(struct ledger *ledger, const struct definition *definition, struct err *err)
{
    sqlite3_stmt *rows = ledger_prepare(ledger, STATEMENT_PIPELINES, PIPELINES_SQL, err);
    bool row;

    definition_deinit(&ledger->defined);
    if (rows == NULL) {
        return false;
    }
    while (ledger_step(ledger, rows, &row, err)) {
        if (!row) {
            return true;
        }
        if (!ledger_definition_load(ledger, sqlite3_column_int64(rows, 0), &ledger->defined, err)) {
            sqlite3_reset(rows);
            return false;
        }
        if (definition_same(&ledger->defined, definition)) {
            sqlite3_reset(rows);
            return true;
        }
        definition_deinit(&ledger->defined);
    }
    return false;
}

static bool add_outputs(struct ledger *ledger, const struct definition *definition, int64_t id,
                        struct err *err)
{
    enum { PIPELINE = 1, TOPIC, TOPIC_ID, PARTITIONS };

    for (size_t i = 0; i < definition->output_count; i++) {
        sqlite3_stmt *add =
            ledger_prepare(ledger, STATEMENT_PIPELINE_OUTPUT_ADD, PIPELINE_OUTPUT_ADD_SQL, err);

        if (add == NULL) {
            return false;
        }
        ledger_bind_integer(add, PIPELINE, id);
        ledger_bind_text(add, TOPIC, definition->outputs[i].topic);
        ledger_bind_text(add, TOPIC_ID, definition->outputs[i].topic_id);
        ledger_bind_integer(add, PARTITIONS, definition->outputs[i].partitions);
        if (!ledger_run(ledger, add, err)) {
            return false;
        }
    }
    return true;
}

static bool add_inputs(struct ledger *ledger, const struct definition *definition, int64_t id,
                       struct err *err)
{
    enum { PIPELINE = 1, TOPIC, TOPIC_ID, OUTPUT_TOPIC, ERROR_TOPIC };

    for (size_t i = 0; i < definition->input_count; i++) {
        const struct definition_input *input = &definition->inputs[i];
        sqlite3_stmt *add =
            ledger_prepare(ledger, STATEMENT_PIPELINE_INPUT_ADD, PIPELINE_INPUT_ADD_SQL, err);

        if (add == NULL) {
            return false;
        }
        ledger_bind_integer(add, PIPELINE, id);
        ledger_bind_text(add, TOPIC, input->topic);
        ledger_bind_text(add, TOPIC_ID, input->topic_id);
        ledger_bind_text(add, OUTPUT_TOPIC, definition->outputs[input->output].topic);
        ledger_bind_text(add, ERROR_TOPIC, input->error_topic);
        if (!ledger_run(ledger, add, err)) {
            return false;
        }
    }
    return true;
}

static bool add(struct ledger *ledger, const struct definition *definition, struct err *err)
{
    enum {
        COL_DELIVERY = 1,
        COL_PROVENANCE,
        COL_PARTITIONER,
        COL_ISOLATION,
        COL_DATA_LOSS,
        COL_BAD_RECORD
    };
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_PIPELINE_ADD, PIPELINE_ADD_SQL, err);
    int64_t id;

    if (row == NULL) {
        return false;
    }
    ledger_bind_text(row, COL_DELIVERY, DELIVERY[definition->delivery]);
    ledger_bind_text(row, COL_PROVENANCE, PROVENANCE[definition->provenance]);
    ledger_bind_text(row, COL_PARTITIONER, PARTITIONER[definition->partitioner]);
    ledger_bind_text(row, COL_ISOLATION, ISOLATION[definition->isolation]);
    ledger_bind_text(row, COL_DATA_LOSS, ON_DATA_LOSS[definition->on_data_loss]);
    ledger_bind_text(row, COL_BAD_RECORD, ON_BAD_RECORD[definition->on_bad_record]);
    if (!ledger_run(ledger, row, err)) {
        return false;
    }
    id = sqlite3_last_insert_rowid(ledger->db);
    if (!add_outputs(ledger, definition, id, err) || !add_inputs(ledger, definition, id, err)) {
        return false;
    }
    definition_copy(definition, &ledger->defined);
    ledger->defined.id = id;
    return true;
}

bool ledger_define(struct ledger *ledger, struct definition *definition, struct err *err)
{
    assert(ledger->in_transaction);
    if (ledger->defined.id == 0 || !definition_same(&ledger->defined, definition)) {
        if (!find(ledger, definition, err)) {
            return err_wrap(err, "cannot look for the definition");
        }
        if (ledger->defined.id == 0 && !add(ledger, definition, err)) {
            return err_wrap(err, "cannot store the definition");
        }
    }
    definition->id = ledger->defined.id;
    return true;
}
