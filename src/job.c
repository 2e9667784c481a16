/* A running job: the loop.
 *
 *     lock, ledger, clients ─► ready ─► start.c (asked and judged; a batch in doubt is read back)
 *                                          │
 *            ┌─────────────────────────────┘
 *            ▼
 *     wait for the tick ─► plan ─► deliver ─────────► settle ─► mark ─┐
 *            ▲                        │   ▲             │             │
 *            │                 broken ▼   │ read back   └ the next plan joins when its tick is due
 *            │                     recover.c                          │
 *            └────────────────────────────────────────────────────────┘
 *
 * A stop is looked for in every wait. Graceful: no further plan, the batch under way is finished.
 * Forced: out at once, the batch stays unsettled and the next start finishes it; nothing is
 * lost. */
#include "job.h"

#include "client_end.h"
#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "plan.h"
#include "plan_ends.h"
#include "recover.h"
#include "recover_mark.h"
#include "settle.h"
#include "source_ends.h"
#include "start.h"
#include "start_access.h"
#include "throttle.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLOSE_MARK_MS = 5000,
    GIVE_BACK_MS = 3000,
    REST_SLICE_MS = 500,  /* with nothing under way only signals and ticks are waited for */
    REST_AFTER_MS = 1000, /* since the last batch */
    BUSY_IDLE_MS = 20,    /* interval 0: how soon to look again when there was nothing */
};

/* ---- start and end ---- */

static bool open_ledger(struct job *job, struct err *err)
{
    struct patience patience = job_patience(job, -1);
    struct ledger_options options = {
        .path = job->config->ledger_path,
        .job = job->config->job_name,
        .create = true,
        .stopped = patience.stopped,
        .stopped_arg = patience.arg,
    };
    bool found;

    if (!ledger_open(&options, &job->ledger, err)) {
        return false;
    }
    ledger_identity(job->ledger, &job->identity);
    job->finishing =
        job->identity.settled < job->identity.batch; /* also while a lock is waited for */
    clock_init(&job->clock, &CLOCK_SYSTEM, job->identity.last_ms);
    job->began_ms = wait_now_ms();
    job->clock_began_ms = clock_now_ms(&job->clock);
    job->planned_ms = job->clock_began_ms;
    if (!job_draw(job, err) ||
        !ledger_start(job->ledger, job->incarnation, clock_wall_ms(&job->clock), err) ||
        !throttle_open(job, err) || !ledger_unsettled(job->ledger, &job->batch, &found, err)) {
        return false;
    }
    job->finishing = found;
    if (found) {
        job_move(job, PROTOCOL_FIND);
        job->recovered = true;
    }
    return !failpoint("start-after-ledger") || err_set(err, ERR_FAILED, 0, "failpoint");
}

bool job_make_source(struct job *job, struct err *err)
{
    bool in_doubt = job->state == PROTOCOL_IN_DOUBT;
    const struct definition *definition = in_doubt ? &job->batch.definition : &job->definition;

    job->source_config = *job->config;
    job->source_config.isolation = definition->isolation;
    if (!source_new(&job->source_config, (uint32_t)job->inputs.count, &job->source, err)) {
        return false;
    }
    for (size_t i = 0; i < definition->input_count; i++) {
        source_expect(job->source, definition->inputs[i].topic);
    }
    return true;
}

static bool make_clients(struct job *job, struct err *err)
{
    struct client_options ask = {.purpose = CLIENT_ASK};

    if (!client_new(job->config, &ask, &job->ask, err)) {
        return false;
    }
    job->brokers = broker_facts_new(job->ask, job->config->delivery);
    job->marks =
        mark_writer_new(job->ask, job->config->group_id, job->identity.uuid, job->incarnation);
    provenance_job(job->config->job_name, job->job_hash);
    return true;
}

static void close_job(struct job *job)
{
    recover_mark_end(job, true); /* gives the sink's messages back: before the source */
    deliver_end(job);
    free(job->hand.messages);
    source_free(job->source);
    readback_free(job->readback);
    mark_writer_free(job->marks);
    topic_facts_free(job->facts);
    broker_facts_free(job->brokers);
    plan_ends_forget(job);
    client_free(job->ask, "the asking client");
    client_end_wait();
    ledger_close(job->ledger);
    batch_deinit(&job->batch);
    delivered_deinit(&job->delivered);
    delivered_deinit(&job->committed);
    free(job->done);
    definition_deinit(&job->definition);
    ledger_inputs_deinit(&job->inputs);
    outputs_deinit(&job->outputs);
    free(job->suspects);
    for (size_t i = 0; i < job->goal_count; i++) {
        free((char *)(uintptr_t)job->goals[i].topic);
    }
    free(job->goals);
    free(job->ends);
}

/* ---- a batch ---- */

/* The policies of today may let a batch go on that those of its plan would stop: each decision is
 * durable by itself. */
static bool apply_policies(struct job *job, struct err *err)
{
    struct definition *definition = &job->batch.definition;
    const struct config *config = job->config;

    if (definition->on_bad_record == config->on_bad_record &&
        definition->on_data_loss == config->on_data_loss) {
        return true;
    }
    definition->on_bad_record = config->on_bad_record;
    definition->on_data_loss = config->on_data_loss;
    return ledger_event(job->ledger, EVENT_RECOVERY, job->batch.number, clock_wall_ms(&job->clock),
                        err,
                        "batch %" PRId64 " goes on with on.bad.record and on.data.loss of today",
                        job->batch.number);
}

static bool replace_producer(struct job *job, struct err *err)
{
    log_warning("%s; the outcome of what is on its way is unknown: replacing the producer and "
                "reading %s",
                err->text, job_by_mark(job) ? "the mark" : "the outputs back");
    if (!job_synced(job, true, err)) {
        return false;
    }
    job_move(job, PROTOCOL_FAIL);
    if (!(job_by_mark(job) ? recover_mark_broken(job, err) : recover_broken(job, err))) {
        return false;
    }
    deliver_end(job);
    return !job_by_mark(job) || start_access_again(job, err);
}

/* Until every record is acknowledged, through as many producers as that takes. */
static bool deliver_batch(struct job *job, struct err *err)
{
    for (;;) {
        job_move(job, PROTOCOL_DELIVER);
        if (job->recovered && failpoint("recover-deliver")) {
            return err_set(err, ERR_FAILED, 0, "failpoint");
        }
        if (deliver_begin(job, err) && deliver_run(job, err)) {
            job_move(job, PROTOCOL_ACKNOWLEDGE);
            return !job->recovered || job_by_mark(job) || recover_check(job, err);
        }
        if (err_action(err->kind) != ERR_REPLACE || !replace_producer(job, err)) {
            return false;
        }
    }
}

/* ---- waiting for the next one ---- */

/* --until-end: every input has reached what was there at the start. */
static bool at_goal(const struct job *job)
{
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        if (input->next_offset < job_goal(job, input->topic, input->partition)) {
            return false;
        }
    }
    return true;
}

static int compare_goals(const void *a, const void *b)
{
    const struct ends_item *left = a;
    const struct ends_item *right = b;
    int by_topic = strcmp(left->topic, right->topic);

    return by_topic != 0
               ? by_topic
               : (left->partition > right->partition) - (left->partition < right->partition);
}

int64_t job_goal(const struct job *job, const char *topic, int32_t partition)
{
    const struct ends_item wanted = {.topic = topic, .partition = partition};
    const struct ends_item *found;

    if (!job->until_end) {
        return INT64_MAX;
    }
    found = bsearch(&wanted, job->goals, job->goal_count, sizeof(*found), compare_goals);
    return found == NULL ? 0 : found->offset; /* added since, or no longer read */
}

static bool set_goals(struct job *job, struct err *err)
{
    struct patience patience = job_patience(job, -1);

    job->goals = mem_array(job->inputs.count, sizeof(*job->goals));
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        if (definition_find_input(&job->definition, input->topic) >= 0) {
            job->goals[job->goal_count++] =
                (struct ends_item){.topic = mem_text(input->topic), .partition = input->partition};
        }
    }
    return ends_get(job->ask,
                    job->config->isolation == ISOLATION_READ_COMMITTED ? ENDS_COMMITTED : ENDS_LAST,
                    job->goals, job->goal_count, &patience, err);
}

static bool refresh_mark(struct job *job, struct err *err)
{
    bool due = job->marked_ms == 0 ||
               clock_now_ms(&job->clock) - job->marked_ms >= broker_facts_mark_age_ms(job->brokers);

    if (job_by_mark(job)) {
        return !due || recover_mark_refresh(job, err);
    }
    if (due && job->identity.settled > 0 && mark_idle(job->marks)) {
        settle_mark(job);
    }
    return true;
}

/* What batches took goes back to the system once none has come for a while. */
static void give_back_memory(struct job *job)
{
    int64_t now = clock_now_ms(&job->clock);

    if (job->acknowledged_ms > job->given_back_ms && now - job->acknowledged_ms >= GIVE_BACK_MS) {
        ledger_give_back(job->ledger);
        mem_give_back();
        job->given_back_ms = now;
    }
}

/* Between two batches, also when the next one is planned already. While the disk is full the next
 * transaction waits and says so: this one can come later. */
static bool keep_ledger_small(struct job *job, struct err *err)
{
    ledger_tidy(job->ledger);
    return ledger_prune(job->ledger, job->config->ledger_keep_batches, err) ||
           err->kind == ERR_LEDGER_FULL;
}

/* Once nothing has come for a while the reader waits at the ends of all inputs, and tells when
 * something does. */
static bool rest(struct job *job, struct err *err)
{
    struct source_place *places;
    size_t count = 0;
    bool ok;

    if (source_rests(job->source) || !plan_ends_reached(job) ||
        clock_now_ms(&job->clock) - job->acknowledged_ms < REST_AFTER_MS) {
        return true;
    }
    places = mem_array(job->inputs.count, sizeof(*places));
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        if (definition_find_input(&job->definition, input->topic) >= 0) {
            places[count++] = (struct source_place){.topic = input->topic,
                                                    .partition = input->partition,
                                                    .offset = input->next_offset,
                                                    .leader_epoch = input->leader_epoch};
        }
    }
    ok = source_rest(job->source, places, count, err);
    free(places);
    return ok;
}

/* Nothing is under way: waits for the tick and plans. *done_out: asked to stop, or at the goal. */
static bool idle(struct job *job, bool *done_out, struct err *err)
{
    int slice = mark_idle(job->marks) && !job->mark_owed ? REST_SLICE_MS : IDLE_SLICE_MS;
    int64_t wait;

    if (!job_meanwhile(job, err)) {
        return false;
    }
    *done_out = stop_requested(&job->stop) || (job->until_end && at_goal(job));
    if (*done_out) {
        return true;
    }
    wait = tick_wait(&job->tick, clock_now_ms(&job->clock));
    if (wait > 0) {
        if (!refresh_mark(job, err)) {
            return false;
        }
        give_back_memory(job);
        job_wait(job, wait < slice ? (int)wait : slice);
        return true;
    }
    if (!keep_ledger_small(job, err) || !ledger_check_file(job->ledger, err) ||
        !start_refresh(job, err) || (job_by_mark(job) && !recover_mark_ready(job, err)) ||
        !plan_make(job, err)) {
        return false;
    }
    if (job->state != PROTOCOL_IDLE) {
        return true;
    }
    if (job->tick.interval_ms == 0) {
        job_wait(job, BUSY_IDLE_MS);
    }
    return rest(job, err) && refresh_mark(job, err);
}

/* The batch that was in doubt was finished in the mode it was planned in; what follows is in
 * today's. T7: a mark on its way must not arrive after the first transaction. */
static bool change_mode(struct job *job, struct err *err)
{
    if (job_by_mark(job) == (job->batch.definition.delivery == DELIVERY_TRANSACTIONAL)) {
        return true;
    }
    log_notice("delivery.mode is %s from now on",
               job_by_mark(job) ? "transactional" : "idempotent");
    settle_mark_owed(job, true);
    while (!mark_idle(job->marks)) {
        if (!job_meanwhile(job, err)) {
            return false;
        }
        job_wait(job, IDLE_SLICE_MS);
    }
    recover_mark_end(job, false);
    if (job_by_mark(job)) {
        recover_watch_end(job); /* what stands in gaps between a transaction's records is aborted */
    }
    job->marked_ms = 0;
    return true;
}

static bool loop(struct job *job, struct err *err)
{
    struct ledger_identity ledger;
    bool done = false;

    if (job->state == PROTOCOL_READ) {
        if (!apply_policies(job, err) || !deliver_batch(job, err) ||
            !settle_batch(job, false, err)) {
            return false;
        }
        /* The rest of the start belongs to the definition of today. */
        source_free(job->source);
        job->source = NULL;
        if (!job_make_source(job, err) || !change_mode(job, err)) {
            return false;
        }
    }
    job->facts_ms = 0;
    tick_init(&job->tick, job->config->batch_interval_ms, clock_now_ms(&job->clock));
    if (!start_refresh(job, err)) {
        return false;
    }
    if (job->until_end) {
        if (!set_goals(job, err)) {
            return false;
        }
        ledger_identity(job->ledger, &ledger);
        tick_init_at_once(&job->tick, job->config->batch_interval_ms, clock_now_ms(&job->clock),
                          ledger.last_ms);
    }
    while (!done) {
        if (job->state == PROTOCOL_IDLE) {
            if (!idle(job, &done, err)) {
                return false;
            }
        } else if (!deliver_batch(job, err) || !settle_batch(job, true, err) ||
                   !keep_ledger_small(job, err)) {
            return false;
        }
    }
    return true;
}

/* The last mark, as far as that goes within its time: the next start writes it again if need be. */
static void finish_mark(struct job *job)
{
    int64_t end = clock_now_ms(&job->clock) + CLOSE_MARK_MS;
    struct err err;

    while (job->marks != NULL && (job->mark_owed || !mark_idle(job->marks)) &&
           clock_now_ms(&job->clock) < end && !stop_forced(&job->stop)) {
        stop_serve(&job->stop);
        report_turn(job);
        settle_mark_owed(job, true);
        if (!mark_step(job->marks, &err)) {
            log_error("%s", err.text);
            return;
        }
        if (!mark_idle(job->marks)) {
            job_wait(job, IDLE_SLICE_MS);
        }
    }
}

static bool ended(struct job *job, bool ok, struct err *err)
{
    const char *how = "stopped";

    if (!ok && err->kind == ERR_STOPPED && stop_forced(&job->stop)) {
        err->kind = ERR_FORCED;
    } else if (!ok && err->kind == ERR_STOPPED) {
        ok = true; /* asked to stop while waiting for brokers, with nothing under way */
    }
    if (!ok) {
        struct err second;

        how = err->text;
        if (err->kind == ERR_FORCED && job->identity.settled == job->identity.batch) {
            log_warning("%s, between batches: everything is settled", err->text);
        } else if (err->kind == ERR_FORCED) {
            log_warning("%s; batch %" PRId64 " is unsettled: the next start finishes it", err->text,
                        job->identity.batch);
        }
        if (err->kind == ERR_LEDGER || err->kind == ERR_LEDGER_FULL ||
            ledger_event(job->ledger, err->kind == ERR_DECISION ? EVENT_REFUSAL : EVENT_STOP,
                         job->state == PROTOCOL_IDLE ? 0 : job->batch.number,
                         clock_wall_ms(&job->clock), &second, "%s", how)) {
            return false;
        }
        log_warning("the stop could not be noted in the ledger: %s", second.text);
        return false;
    }
    if (ok) {
        struct err second;

        finish_mark(job);
        if (!ledger_event(job->ledger, EVENT_STOP, 0, clock_wall_ms(&job->clock), &second, "%s",
                          how)) {
            log_warning("the stop could not be noted in the ledger: %s", second.text);
        }
    }
    return ok;
}

bool job_run(const struct job_options *options, struct err *err)
{
    struct job *job = mem_zero(sizeof(*job));
    bool ok;

    job->config = options->config;
    job->until_end = options->until_end;
    clock_init(&job->clock, &CLOCK_SYSTEM, 0);
    report_open(job);
    ok = stop_init(&job->stop, job->config->shutdown_graceful, job->config->shutdown_timeout_ms,
                   err) &&
         open_ledger(job, err) && make_clients(job, err);
    if (ok) {
        log_notice("ready: job '%s', ledger %s (%.12s, batch %" PRId64 "), start %s%s",
                   job->config->job_name, job->config->ledger_path, job->identity.uuid,
                   job->identity.batch, job->incarnation,
                   job->state == PROTOCOL_IN_DOUBT ? ", a batch is in doubt" : "");
        report_ready(job);
        ok = start_run(job, err) && loop(job, err);
    }
    if (job->ledger != NULL) {
        ok = ended(job, ok, err);
    }
    if (ok) {
        log_notice("stopped: everything is settled up to batch %" PRId64, job->identity.settled);
    }
    report_ended(job, ok, err);
    close_job(job);
    free(job);
    return ok;
}
