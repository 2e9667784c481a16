/* What marks and outputs prove (evidence.h says why). Pure. */
#include "evidence.h"

#include "mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void evidence_init(struct evidence *evidence, size_t outputs)
{
    *evidence = (struct evidence){.output_count = outputs};
    evidence->outputs = mem_array(outputs, sizeof(*evidence->outputs));
    for (size_t i = 0; i < outputs; i++) {
        evidence->outputs[i] =
            (struct evidence_output){.first = -1, .last_earlier = -1, .last = -1};
    }
}

void evidence_deinit(struct evidence *evidence)
{
    for (size_t i = 0; i < evidence->source_count; i++) {
        free(evidence->sources[i].topic);
    }
    free(evidence->sources);
    free(evidence->outputs);
    free(evidence->starts);
    *evidence = (struct evidence){0};
}

static struct evidence_source *source_of(struct evidence *evidence,
                                         const struct provenance *provenance)
{
    for (size_t i = 0; i < evidence->source_count; i++) {
        if (evidence->sources[i].partition == provenance->partition &&
            strcmp(evidence->sources[i].topic, provenance->topic) == 0) {
            return &evidence->sources[i];
        }
    }
    evidence->sources =
        mem_grow(evidence->sources, evidence->source_count + 1, sizeof(*evidence->sources));
    evidence->sources[evidence->source_count] = (struct evidence_source){
        .topic = mem_text(provenance->topic),
        .partition = provenance->partition,
        .earlier = -1,
        .lowest = -1,
        .highest = -1,
        .unknown = -1,
    };
    return &evidence->sources[evidence->source_count++];
}

static int64_t higher(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A batch above T is met: what was T is whole. */
static void raise_batch(struct evidence *evidence, int64_t batch)
{
    for (size_t i = 0; i < evidence->source_count; i++) {
        struct evidence_source *source = &evidence->sources[i];

        source->earlier = higher(source->earlier, source->highest);
        source->lowest = source->highest = -1;
    }
    for (size_t i = 0; i < evidence->output_count; i++) {
        struct evidence_output *output = &evidence->outputs[i];

        output->last_earlier = higher(output->last_earlier, output->last);
        output->last = -1;
        output->records = 0;
    }
    evidence->batch = batch;
}

void evidence_add_start(struct evidence *evidence, const char *incarnation)
{
    for (size_t i = evidence->start_count; i > 0; i--) {
        if (strcmp(evidence->starts[i - 1], incarnation) == 0) {
            return;
        }
    }
    evidence->starts =
        mem_grow(evidence->starts, evidence->start_count + 1, sizeof(*evidence->starts));
    memcpy(evidence->starts[evidence->start_count++], incarnation, INCARNATION_SIZE);
}

void evidence_add(struct evidence *evidence, size_t output, int64_t offset,
                  const struct provenance *provenance, bool known)
{
    struct evidence_output *place = &evidence->outputs[output];
    struct evidence_source *source;

    assert(output < evidence->output_count);
    if (provenance->batch > evidence->batch) {
        raise_batch(evidence, provenance->batch);
    }
    source = source_of(evidence, provenance);
    if (provenance->batch == evidence->batch) {
        if (source->lowest < 0 || provenance->offset < source->lowest) {
            source->lowest = provenance->offset;
        }
        source->highest = higher(source->highest, provenance->offset);
        place->last = higher(place->last, offset);
        place->records++;
        memcpy(evidence->start, provenance->incarnation, INCARNATION_SIZE);
    } else {
        source->earlier = higher(source->earlier, provenance->offset);
        place->last_earlier = higher(place->last_earlier, offset);
    }
    if (!known) {
        source->unknown = higher(source->unknown, provenance->offset);
    }
    if (place->first < 0 || offset < place->first) {
        place->first = offset;
        place->first_batch = provenance->batch;
    }
    evidence->records++;
    evidence_add_start(evidence, provenance->incarnation);
}

const struct evidence_source *evidence_find(const struct evidence *evidence, const char *topic,
                                            int32_t partition)
{
    for (size_t i = 0; i < evidence->source_count; i++) {
        if (evidence->sources[i].partition == partition &&
            strcmp(evidence->sources[i].topic, topic) == 0) {
            return &evidence->sources[i];
        }
    }
    return NULL;
}

/* ---- the conclusion ---- */

/* What of an output is gone may have told more than what is there. */
static bool judge_lost(const struct evidence *evidence, const struct evidence_case *of,
                       const struct evidence_result *result, struct err *err)
{
    for (size_t i = 0; i < evidence->output_count && result->marked < result->batch; i++) {
        const struct evidence_output *output = &evidence->outputs[i];
        bool below = output->first_batch > 0 && output->first_batch < result->batch;

        if (!output->lost || (below && result->marked == result->batch - 1) ||
            (below && result->marked < 0 && of->settled == 0 && of->one_output)) {
            continue;
        }
        return err_set(err, ERR_DECISION, 0,
                       "outputs have lost records (retention, or deleted) that would tell how far "
                       "batch %" PRId64 " and those before it went, and the group's mark tells of "
                       "batch %" PRId64 " only (-1 = of none): what was delivered can't be proved; "
                       "begin with another job.name and ledger at a time that you choose "
                       "(auto.offset.reset)",
                       result->batch, result->marked);
    }
    return true;
}

static bool two_owners(const struct evidence_place *place, const struct evidence_source *source,
                       int64_t batch, struct err *err)
{
    return err_set(err, ERR_DECISION, 0,
                   "'%s'[%" PRId32 "] offset %" PRId64 " was delivered by batch %" PRId64
                   ", but an earlier batch had delivered up to %" PRId64
                   " already: two processes have worked on copies of this ledger; keep the newest "
                   "ledger and reconcile that, or begin with another job.name",
                   place->topic, place->partition, source->lowest, batch, place->next);
}

static bool conclude_place(const struct evidence *evidence, const struct evidence_result *result,
                           struct evidence_place *place, struct err *err)
{
    const struct evidence_source *source = evidence_find(evidence, place->topic, place->partition);
    bool marked = place->mark_batch >= 0;
    int64_t found = source == NULL ? -1 : source->earlier;

    place->next = place->until = -1;
    if (marked && place->mark_batch == result->batch) {
        place->next = place->group; /* the whole answer */
        return true;
    }
    place->next = higher(place->ledger, marked ? place->group : -1);
    if (found >= 0) {
        place->next = higher(place->next, found + 1);
    }
    if (source == NULL || source->highest < 0 || evidence->batch < result->batch) {
        return true;
    }
    if (place->next > source->lowest) {
        return two_owners(place, source, result->batch, err);
    }
    if (result->settled == result->batch) {
        place->next = source->highest + 1; /* whole, or a prefix */
    } else {
        place->until = source->highest + 1;
    }
    return true;
}

bool evidence_conclude(const struct evidence *evidence, const struct evidence_case *of,
                       struct evidence_place *places, size_t count,
                       struct evidence_result *result_out, struct err *err)
{
    struct evidence_result result = {.batch = evidence->batch, .marked = -1};

    for (size_t i = 0; i < count; i++) {
        result.marked = higher(result.marked, places[i].mark_batch);
    }
    result.batch = higher(result.batch, result.marked);
    assert(result.batch > of->settled);
    result.settled = result.batch;
    if (of->delivery == DELIVERY_IDEMPOTENT && result.marked < result.batch) {
        result.settled = result.batch - 1;
    }
    if (!of->headers && of->delivery == DELIVERY_IDEMPOTENT) {
        return err_set(err, ERR_DECISION, 0,
                       "without headers in the outputs (output.provenance) nothing tells what came "
                       "after the mark of batch %" PRId64
                       ": how far the job got can't be proved; begin with another job.name and "
                       "ledger at a time that you choose (auto.offset.reset)",
                       result.marked);
    }
    if (!judge_lost(evidence, of, &result, err)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!conclude_place(evidence, &result, &places[i], err)) {
            return false;
        }
    }
    *result_out = result;
    return true;
}
