/* What is asked of the brokers before the first output.
 *
 *     topic ids and configs ──(background)──────────────┐
 *     partitions of every topic → the group's mark → judged → inputs → outputs, tails, read-back
 *     → first plan
 *
 * With a batch in doubt its own definition says which outputs it has (R0), and the definition of
 * today is made after it. An input that the ledger doesn't know begins where auto.offset.reset says
 * when the ledger is new, at the beginning of its log else: it was added since. */
#include "start.h"

#include "definition.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "positions.h"
#include "recover.h"
#include "recover_mark.h"
#include "source_ends.h"
#include "start_access.h"
#include "start_mark.h"
#include "throttle.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FACTS_WAIT_MS = 500, TOPICS_SLICE_MS = 200 };

/* ---- topics ---- */

static void name_add(char **names, size_t *count, char *name)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(names[i], name) == 0) {
            free(name);
            return;
        }
    }
    names[(*count)++] = name;
}

static void facts_make(struct job *job)
{
    const struct config *config = job->config;
    const struct definition *old = &job->batch.definition;
    char **names = mem_array(2 * config->input_topics.count + old->input_count + old->output_count,
                             sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; i < config->input_topics.count; i++) {
        name_add(names, &count, mem_text(config->input_topics.items[i]));
        name_add(names, &count,
                 config_topic_name(config->output_topic, config->input_topics.items[i]));
    }
    for (size_t i = 0; i < old->input_count; i++) {
        name_add(names, &count, mem_text(old->inputs[i].topic));
    }
    for (size_t i = 0; i < old->output_count; i++) {
        name_add(names, &count, mem_text(old->outputs[i].topic));
    }
    job->facts = topic_facts_new(job->ask, (const char *const *)names, count);
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}

/* Partition counts; a topic that isn't there is waited for, TOPIC_MISSING_MS at most. */
static bool facts_wait(struct job *job, struct err *err)
{
    struct patience patience = job_patience(job, -1);
    int64_t end = wait_now_ms() + TOPIC_MISSING_MS;
    bool told = false;

    for (;;) {
        struct definition definition;

        if (!topic_facts_refresh(job->facts, &patience, err)) {
            return false;
        }
        job->facts_ms = clock_now_ms(&job->clock);
        if (definition_make(job->config, job->facts, &definition, err)) {
            definition_deinit(&definition);
            return true;
        }
        if (err->kind != ERR_DECISION || wait_now_ms() >= end) {
            return false;
        }
        if (!told) {
            log_warning("%s; waiting for it for %d s", err->text, TOPIC_MISSING_MS / 1000);
            told = true;
        }
        job_wait(job, TOPICS_SLICE_MS);
        if (patience.stopped(patience.arg)) {
            return err_set(err, ERR_STOPPED, 0, "asked to stop while waiting for topics");
        }
    }
}

/* R8: what an output may lose while a batch is in doubt. Relayed records keep their timestamps, so
 * that an output with a shorter retention than its input may delete them minutes after they
 * came. */
static void warn_of_outputs(const struct job *job)
{
    for (size_t i = 0; i < job->definition.input_count; i++) {
        const struct definition_input *input = &job->definition.inputs[i];
        const struct topic_fact *from = topic_facts_find(job->facts, input->topic);
        const struct topic_fact *to =
            topic_facts_find(job->facts, job->definition.outputs[input->output].topic);

        if (to == NULL || !to->configured) {
            continue;
        }
        if (to->compacted) {
            log_warning("output '%s' is compacted: it may lose records of a batch in doubt, and a "
                        "recovery would then stop",
                        to->topic);
        }
        if (from != NULL && from->configured && to->retention_ms >= 0 &&
            (from->retention_ms < 0 || from->retention_ms > to->retention_ms)) {
            log_warning("output '%s' keeps records for %" PRId64 " ms, less than its input '%s' "
                        "(%" PRId64 " ms, -1 = for ever): old records may be deleted there while "
                        "a batch is in doubt, and a recovery would then stop",
                        to->topic, to->retention_ms, from->topic, from->retention_ms);
        }
    }
}

/* ---- inputs ---- */

static bool knows_input(const struct ledger_inputs *inputs, const char *topic, int32_t partition)
{
    size_t from = 0;
    size_t until = inputs->count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;
        int order = strcmp(inputs->items[middle].topic, topic);

        if (order == 0 && inputs->items[middle].partition == partition) {
            return true;
        }
        if (order < 0 || (order == 0 && inputs->items[middle].partition < partition)) {
            from = middle + 1;
        } else {
            until = middle;
        }
    }
    return false;
}

static enum ends_of first_of(const struct job *job)
{
    if (job->identity.batch > 0 || job->inputs.count > 0) {
        return ENDS_FIRST; /* added since */
    }
    switch (job->config->start) {
    case CONFIG_START_EARLIEST:
        return ENDS_FIRST;
    case CONFIG_START_LATEST:
        return job->config->isolation == ISOLATION_READ_COMMITTED ? ENDS_COMMITTED : ENDS_LAST;
    case CONFIG_START_TIME:
        return ENDS_TIME;
    }
    return ENDS_FIRST;
}

struct new_inputs {
    struct ends_item *items;
    size_t count;
};

static bool put_inputs(struct job *job, void *arg, struct err *err)
{
    const struct new_inputs *added = arg;
    bool ok = true;

    for (size_t i = 0; ok && i < added->count; i++) {
        struct ledger_input input = {
            .topic = (char *)(uintptr_t)added->items[i].topic,
            .partition = added->items[i].partition,
            .next_offset = added->items[i].offset,
            .leader_epoch = -1,
        };
        const struct topic_fact *fact = topic_facts_find(job->facts, input.topic);

        memcpy(input.topic_id, fact->topic_id, TOPIC_ID_SIZE);
        ok = ledger_input_put(job->ledger, &input, err);
    }
    if (ok && failpoint("first-input-before-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    return ok;
}

static bool reload_inputs(struct job *job, struct err *err)
{
    ledger_inputs_deinit(&job->inputs);
    return ledger_inputs_load(job->ledger, &job->inputs, err);
}

/* Partitions that the ledger doesn't know get their first offset, durable before anything is
 * read. */
static bool take_up_inputs(struct job *job, struct err *err)
{
    struct new_inputs added = {0};
    struct patience patience = job_patience(job, -1);
    bool ok;

    for (size_t i = 0; i < job->definition.input_count; i++) {
        const char *topic = job->definition.inputs[i].topic;
        const struct topic_fact *fact = topic_facts_find(job->facts, topic);

        for (int32_t p = 0; p < fact->partitions; p++) {
            if (!knows_input(&job->inputs, topic, p)) {
                added.items = mem_grow(added.items, added.count + 1, sizeof(*added.items));
                added.items[added.count++] = (struct ends_item){
                    .topic = topic, .partition = p, .time_ms = job->config->start_ms};
            }
        }
    }
    if (added.count == 0) {
        return true;
    }
    ok = ends_get(job->ask, first_of(job), added.items, added.count, &patience, err) &&
         job_transaction(job, put_inputs, &added, err);
    if (ok && failpoint("first-input-after-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (ok && job->inputs.count > 0) {
        log_notice("%zu input partitions are new; reading them from their beginning", added.count);
        ok = ledger_event(job->ledger, EVENT_TOPIC, 0, clock_wall_ms(&job->clock), err,
                          "%zu input partitions are new", added.count);
    }
    free(added.items);
    return ok && reload_inputs(job, err);
}

static bool check_input_ids(struct job *job, struct err *err)
{
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];
        const struct topic_fact *fact = topic_facts_find(job->facts, input->topic);

        if (fact == NULL || fact->topic_id[0] == '\0' || input->topic_id[0] == '\0' ||
            strcmp(fact->topic_id, input->topic_id) == 0) {
            continue;
        }
        return err_set(err, ERR_DECISION, 0,
                       "input '%s' is another topic than the one that was read (id %s, was %s): it "
                       "was made anew, and the ledger's offsets mean nothing in it; use another "
                       "job.name and ledger to read it from its beginning",
                       input->topic, fact->topic_id, input->topic_id);
    }
    return true;
}

/* The topic id of an input that the ledger doesn't have yet; NULL = nothing to learn. */
static const char *id_to_learn(const struct job *job, const struct ledger_input *input)
{
    const struct topic_fact *fact = topic_facts_find(job->facts, input->topic);

    return fact != NULL && fact->topic_id[0] != '\0' && input->topic_id[0] == '\0' ? fact->topic_id
                                                                                   : NULL;
}

static bool put_ids(struct job *job, void *arg, struct err *err)
{
    bool ok = true;

    (void)arg;
    for (size_t i = 0; ok && i < job->inputs.count; i++) {
        struct ledger_input input = job->inputs.items[i];
        const char *id = id_to_learn(job, &input);

        if (id != NULL) {
            memcpy(input.topic_id, id, TOPIC_ID_SIZE);
            ok = ledger_input_put(job->ledger, &input, err);
        }
    }
    return ok;
}

static bool learn_ids(struct job *job, struct err *err)
{
    for (size_t i = 0; i < job->inputs.count; i++) {
        if (id_to_learn(job, &job->inputs.items[i]) != NULL) {
            return job_transaction(job, put_ids, NULL, err) && reload_inputs(job, err);
        }
    }
    return true;
}

/* ---- outputs ---- */

/* An output that nothing was settled in yet is the topic that the plan was made for: made anew, it
 * is another one. */
static void name_outputs(struct job *job, const struct definition *definition)
{
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];
        int named = definition_find_output(definition, output->topic);

        if (named >= 0 && output->topic_id[0] == '\0') {
            memcpy(output->topic_id, definition->outputs[named].topic_id, TOPIC_ID_SIZE);
        }
    }
}

static bool arrange_outputs(struct job *job, const struct definition *definition, struct err *err)
{
    struct ledger_outputs rows;

    outputs_arrange(&job->outputs, definition);
    if (!ledger_outputs_load(job->ledger, &rows, err)) {
        return false;
    }
    for (size_t i = 0; i < rows.count; i++) {
        int64_t place = outputs_find(&job->outputs, rows.items[i].topic, rows.items[i].partition);
        struct output *output;

        if (place < 0 || job->outputs.items[place].stored) {
            continue;
        }
        output = &job->outputs.items[place];
        output->stored = true;
        output->next = rows.items[i].next_offset;
        output->refreshed_wall_ms = rows.items[i].refreshed_wall_ms;
        memcpy(output->topic_id, rows.items[i].topic_id, TOPIC_ID_SIZE);
    }
    ledger_outputs_deinit(&rows);
    name_outputs(job, definition);
    return true;
}

/* The batch in doubt: its outputs, with their fences, and what its checkpoint says. */
static bool arrange_batch(struct job *job, struct err *err)
{
    const struct batch *batch = &job->batch;

    if (!arrange_outputs(job, &batch->definition, err)) {
        return false;
    }
    outputs_begin(&job->outputs);
    for (size_t i = 0; i < batch->fence_count; i++) {
        size_t place =
            outputs_add(&job->outputs, batch->fences[i].topic, batch->fences[i].partition);
        struct output *output = &job->outputs.items[place]; /* adding may have moved the table */

        output->fenced = true;
        output->fence = batch->fences[i].offset;
    }
    delivered_init(&job->delivered, batch->range_count, job->outputs.count);
    recover_seed(job, &job->delivered);
    delivered_copy(&job->delivered, &job->committed);
    return true;
}

static bool check_batch(struct job *job, struct err *err)
{
    const struct definition *definition = &job->batch.definition;

    for (size_t i = 0; i < definition->output_count; i++) {
        const struct definition_output *output = &definition->outputs[i];
        const struct topic_fact *fact = topic_facts_find(job->facts, output->topic);

        if (fact == NULL || fact->partitions < output->partitions) {
            return err_set(err, ERR_DECISION, 0,
                           "batch %" PRId64
                           " is in doubt and goes to output '%s' with %d partitions, but there are "
                           "%d now: create it again, or add partitions to it (kafka-topics "
                           "--alter), then decide what it has: oncesink-recover resolve",
                           job->batch.number, output->topic, (int)output->partitions,
                           fact == NULL ? 0 : (int)fact->partitions);
        }
    }
    return true;
}

/* ---- all of it ---- */

/* R7, as far as the topics tell it; an answer about compaction that hasn't come is looked at with
 * the next definition. */
static bool check_positions(const struct job *job, const struct definition *made, struct err *err)
{
    struct positions_route *routes;
    bool ok;

    if (made->provenance != PROVENANCE_POSITIONS) {
        return true;
    }
    routes = mem_array(made->input_count, sizeof(*routes));
    for (size_t i = 0; i < made->input_count; i++) {
        const struct definition_output *output = &made->outputs[made->inputs[i].output];
        const struct topic_fact *from = topic_facts_find(job->facts, made->inputs[i].topic);
        const struct topic_fact *to = topic_facts_find(job->facts, output->topic);

        routes[i] = (struct positions_route){
            .input = from->topic,
            .output = output->topic,
            .input_partitions = from->partitions,
            .output_partitions = output->partitions,
            .input_compacted = from->configured && from->compacted,
            .output_compacted = to->configured && to->compacted,
        };
    }
    ok = positions_check(routes, made->input_count, err);
    free(routes);
    return ok;
}

static bool make_definition(struct job *job, struct err *err)
{
    struct definition made;

    if (!definition_make(job->config, job->facts, &made, err)) {
        return false;
    }
    /* A batch in doubt is finished first, by its own definition. */
    if (job->state != PROTOCOL_IN_DOUBT && !check_positions(job, &made, err)) {
        definition_deinit(&made);
        return false;
    }
    if (job->definition.id != 0 && definition_same(&job->definition, &made)) {
        made.id = job->definition.id;
    }
    definition_deinit(&job->definition);
    job->definition = made;
    return true;
}

bool start_run(struct job *job, struct err *err)
{
    bool in_doubt = job->state == PROTOCOL_IN_DOUBT;

    if (!reload_inputs(job, err)) {
        return false;
    }
    if (in_doubt && !job_by_mark(job) && !recover_prepare(job, err)) {
        return false;
    }
    facts_make(job);
    topic_facts_ask(job->facts);
    job->asked_ms = clock_now_ms(&job->clock);
    if (!facts_wait(job, err)) {
        return false;
    }
    log_debug("start: topics are known");
    if (!start_mark(job, err)) {
        return false;
    }
    log_debug("start: the mark is judged");
    topic_facts_step(job->facts, FACTS_WAIT_MS);
    log_debug("start: topic ids and configurations were asked for");
    if (failpoint("start-after-ask")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (!make_definition(job, err) || !check_input_ids(job, err) || !start_access(job, err)) {
        return false;
    }
    throttle_warn_of_caps(job);
    if (in_doubt) {
        /* The reader connects while the settle wait passes. */
        return check_batch(job, err) && arrange_batch(job, err) && job_make_source(job, err) &&
               (!job_by_mark(job) || recover_mark_ready(job, err)) && recover_look(job, err);
    }
    warn_of_outputs(job);
    return take_up_inputs(job, err) && learn_ids(job, err) &&
           arrange_outputs(job, &job->definition, err) && job_make_source(job, err) &&
           (!job_by_mark(job) || recover_mark_ready(job, err)) && recover_look(job, err);
}

void start_ask_ids(struct job *job)
{
    int64_t now = clock_now_ms(&job->clock);
    bool known = false; /* where ids were never told, nothing waits for them */

    for (size_t i = 0; i < job->inputs.count && !known; i++) {
        known = job->inputs.items[i].topic_id[0] != '\0';
    }
    if (known && now - job->asked_ms >= IDS_AGE_MS && topic_facts_step(job->facts, 0)) {
        job->asked_ms = now;
        topic_facts_ask_ids(job->facts);
    }
}

bool start_check_ids(struct job *job, struct err *err)
{
    topic_facts_step(job->facts, FACTS_WAIT_MS);
    return check_input_ids(job, err);
}

bool start_refresh(struct job *job, struct err *err)
{
    int64_t now = clock_now_ms(&job->clock);
    bool doubt = job->facts_ms == 0;

    if (topic_facts_step(job->facts, 0) && doubt) {
        job->asked_ms = now;
        topic_facts_ask(job->facts);
    }
    if (now - job->facts_ms < FACTS_AGE_MS) {
        return true;
    }
    if (!facts_wait(job, err)) {
        return false;
    }
    topic_facts_step(job->facts, doubt ? FACTS_WAIT_MS : 0);
    if (!make_definition(job, err) || !check_input_ids(job, err) || !start_access(job, err) ||
        !take_up_inputs(job, err) || !learn_ids(job, err) ||
        !arrange_outputs(job, &job->definition, err)) {
        return false;
    }
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];
        int64_t first = outputs_find(&job->outputs, output->topic, 0);

        if (!output->looked && !output->stored && first >= 0 && job->outputs.items[first].looked) {
            output->next = 0; /* added while running: fence 0 */
            output->looked = true;
            output->expected = job->watch_until_ms > 0 ? 0 : -1;
        }
    }
    return recover_look(job, err);
}
