/* The group's mark at start.
 *
 * This reading is early: a stale ledger must not fence the live owner (T5), so what is pending in a
 * transaction isn't waited for. In transactional mode recover_mark.c reads once more, after its
 * producer has fenced all others, and that reading decides.
 *
 * The offsets of every input partition are read; of the marks among them one counts: another
 * ledger's before ours, then the highest batch. What is concluded is protocol_judge_mark's. A mark
 * that is behind or gone is no reason to stop in idempotent mode: SQLite is the authority, and the
 * mark is written again. */
#include "start_mark.h"

#include "job_state.h"
#include "log.h"
#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void mark_sum_up(const struct job *job, const struct mark_item *items, size_t count,
                        struct mark_found *found_out)
{
    *found_out = (struct mark_found){.all_ours = true};
    for (size_t i = 0; i < count; i++) {
        bool other = items[i].ours && strcmp(items[i].text.uuid, job->identity.uuid) != 0;
        bool other_before =
            found_out->any_ours && strcmp(found_out->text.uuid, job->identity.uuid) != 0;

        if (items[i].offset < 0) {
            continue;
        }
        found_out->present = true;
        if (!items[i].ours) {
            found_out->all_ours = false;
            continue;
        }
        if (!found_out->any_ours || (other && !other_before) ||
            (other == other_before && items[i].text.batch > found_out->text.batch)) {
            found_out->text = items[i].text;
        }
        found_out->any_ours = true;
    }
}

bool start_mark_refuse(const struct job *job, enum mark_verdict verdict,
                       const struct mark_text *mark, struct err *err)
{
    const char *group = job->config->group_id;

    if (verdict == MARK_OTHER_LEDGER) {
        return err_set(
            err, ERR_DECISION, 0,
            "group '%s' carries the mark of another ledger (%s, batch %" PRId64
            "; ours is %s%s): use that ledger, or another job.name; if it is lost, move this "
            "one away and make it anew: oncesink-recover rebuild",
            group, mark->uuid, mark->batch, job->identity.uuid,
            job->identity.settled == 0 ? ", which is new" : "");
    }
    if (verdict == MARK_AHEAD) {
        return err_set(err, ERR_DECISION, 0,
                       "the ledger is stale: it has settled batch %" PRId64
                       ", but group '%s' carries its mark of batch %" PRId64
                       " (an older copy, a restored backup, or a lost tail): start with the newest "
                       "ledger, or bring this one up to date: oncesink-recover reconcile",
                       job->identity.settled, group, mark->batch);
    }
    return err_set(err, ERR_DECISION, 0,
                   "a copy of this ledger has run: group '%s' carries the mark of batch %" PRId64
                   " written by start %s, which this ledger doesn't know: keep one of the two, and "
                   "let it learn of the other: oncesink-recover reconcile",
                   group, mark->batch, mark->incarnation);
}

bool start_mark_foreign(struct job *job, struct err *err)
{
    log_warning("the offsets of group '%s' were set by someone else; the ledger wins, and they are "
                "written again with the next mark",
                job->config->group_id);
    return ledger_event(job->ledger, EVENT_MARK, 0, clock_wall_ms(&job->clock), err,
                        "the offsets of group '%s' were set by someone else",
                        job->config->group_id);
}

static bool mark_judge(struct job *job, struct mark_item *items, size_t count, struct err *err)
{
    struct protocol_self self = job_self(job);
    struct patience patience = job_patience(job, -1);
    struct mark_found found;
    enum mark_verdict verdict;

    if (!mark_read(job->ask, job->config->group_id, MARK_AS_IT_IS, items, count, &patience, err)) {
        return false;
    }
    mark_sum_up(job, items, count, &found);
    if (found.any_ours && !ledger_knows_incarnation(job->ledger, found.text.incarnation,
                                                    &found.incarnation_known, err)) {
        return false;
    }
    verdict = protocol_judge_mark(&self, &found);
    switch (verdict) {
    case MARK_FINE:
    case MARK_BEHIND:
        return true;
    case MARK_FOREIGN_TEXT:
        if (job_by_mark(job)) {
            return true; /* judged once more when nothing is pending: there it stops the job */
        }
        return start_mark_foreign(job, err);
    case MARK_OTHER_LEDGER:
    case MARK_AHEAD:
    case MARK_COPY:
        return start_mark_refuse(job, verdict, &found.text, err);
    }
    return false;
}

bool start_mark(struct job *job, struct err *err)
{
    struct mark_item *items = NULL;
    size_t count = 0;
    bool ok;

    for (size_t i = 0; i < job->config->input_topics.count; i++) {
        const char *topic = job->config->input_topics.items[i];
        const struct topic_fact *fact = topic_facts_find(job->facts, topic);

        for (int32_t p = 0; fact != NULL && p < fact->partitions; p++) {
            items = mem_grow(items, count + 1, sizeof(*items));
            items[count++] = (struct mark_item){.topic = topic, .partition = p, .offset = -1};
        }
    }
    ok = mark_judge(job, items, count, err);
    free(items);
    return ok;
}
