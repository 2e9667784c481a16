/* A ledger that was left behind, where records are known by their places alone
 * (output.provenance=positions).
 *
 * No record says which batch it is of. But the ledger's places are exact as of its last batch, the
 * outputs are this job's alone, and each has one source: what stands behind those places is, in
 * order, what the sources have had since. So everything since becomes one batch in doubt, from the
 * ledger's next offsets to the inputs' ends, and the next start compares it byte for byte, as after
 * any crash: what is there counts as delivered, the rest is delivered.
 *
 * Its number lies above all that the true owner can have used: a mark M is acknowledged before
 * M + 1 is settled, so no batch above M + 2 was planned. */
#include "mend.h"

#include "mem.h"
#include "source_ends.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { UNMARKED_MAX = 2 };

bool mend_by_place(const struct mend *mend)
{
    enum provenance_kind last = mend->batch_in_doubt ? mend->batch.definition.provenance
                                : mend->identity.settled_by_place ? PROVENANCE_POSITIONS
                                                                  : PROVENANCE_HEADERS;

    return last == PROVENANCE_POSITIONS && mend->broker.config->provenance == PROVENANCE_POSITIONS;
}

/* So many records the batch in doubt may have put there. */
static int64_t planned_for(const struct mend *mend, const struct scan_output *output)
{
    int64_t planned = 0;

    for (size_t r = 0; mend->batch_in_doubt && r < mend->batch.range_count; r++) {
        const struct range *range = &mend->batch.ranges[r];
        const struct definition *definition = &mend->batch.definition;
        const struct definition_output *to =
            &definition->outputs[definition->inputs[range->input].output];

        if (strcmp(to->topic, output->topic) == 0 &&
            range->partition % to->partitions == output->partition) {
            planned += range->until - range->from;
        }
    }
    return planned;
}

bool mend_is_behind_places(const struct mend *mend)
{
    for (size_t i = 0; i < mend->scan.output_count; i++) {
        const struct scan_output *output = &mend->scan.outputs[i];

        if (!output->error && output->log_end - output->from > planned_for(mend, output)) {
            return true;
        }
    }
    return false;
}

static bool check_places(const struct mend *mend, struct err *err)
{
    for (size_t i = 0; i < mend->scan.output_count; i++) {
        const struct scan_output *output = &mend->scan.outputs[i];

        if (output->error && mend->scan.evidence.outputs[i].first >= 0) {
            return err_set(err, ERR_DECISION, 0,
                           "records were put aside since (error topic '%s'): without headers in "
                           "the outputs it can't be proved what was delivered beside them; begin "
                           "with another job.name and ledger (auto.offset.reset)",
                           output->topic);
        }
        if (!output->error && mend->scan.evidence.outputs[i].lost) {
            return err_set(err, ERR_DECISION, 0,
                           "output '%s'[%d] begins at %" PRId64 ", above the %" PRId64
                           " where the ledger's last batch ended there: without headers it can't "
                           "be proved what was delivered since; begin with another job.name and "
                           "ledger (auto.offset.reset)",
                           output->topic, (int)output->partition, output->log_start, output->from);
        }
    }
    return true;
}

static bool ask_inputs(struct mend *mend, struct err *err)
{
    struct ends_item *first = mem_array(mend->place_count, sizeof(*first));
    struct ends_item *last = mem_array(mend->place_count, sizeof(*last));
    bool committed = mend->broker.config->isolation == ISOLATION_READ_COMMITTED;
    bool ok;

    for (size_t i = 0; i < mend->place_count; i++) {
        first[i] = (struct ends_item){.topic = mend->places[i].topic,
                                      .partition = mend->places[i].partition};
        last[i] = first[i];
    }
    ok = broker_starts(&mend->broker, first, mend->place_count, err) &&
         broker_ends(&mend->broker, committed, last, mend->place_count, err);
    for (size_t i = 0; ok && i < mend->place_count; i++) {
        struct evidence_place *place = &mend->places[i];

        place->next = place->ledger >= 0 ? place->ledger : first[i].offset;
        place->until = last[i].offset;
    }
    free(first);
    free(last);
    return ok;
}

bool mend_conclude_places(struct mend *mend, struct err *err)
{
    int64_t known = mend->batch_in_doubt ? mend->batch.number : mend->identity.settled;
    bool any = false;

    if (!check_places(mend, err) || !ask_inputs(mend, err)) {
        return false;
    }
    for (size_t i = 0; i < mend->place_count; i++) {
        any |= mend->places[i].until > mend->places[i].next;
    }
    if (!any) {
        return err_set(err, ERR_DECISION, 0,
                       "the outputs hold more than the inputs have given since: somebody else "
                       "writes to them, and output.provenance=positions is for topics that nobody "
                       "else writes to; end the other writer");
    }
    mend->result.marked = mend->mark.batch;
    mend->result.settled = (mend->mark.batch > known ? mend->mark.batch : known) + UNMARKED_MAX;
    mend->result.batch = mend->result.settled + 1;
    return true;
}
