/* What the parts of a running job share: waiting, looking around meanwhile, moves, transactions
 * (job_state.h). */
#include "failpoint.h"
#include "job_state.h"
#include "kafka_client.h"
#include "log.h"
#include "recover.h"
#include "settle.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

enum { FULL_PAUSE_MS = 1000, TROUBLE_LOG_MS = 10000, TROUBLE_TEXT_SIZE = 256 };

static void log_state(const struct job *job)
{
    log_notice("state: %s, batch %" PRId64 ", settled %" PRId64 ", in flight %" PRIu64
               ", mark %" PRId64 ", WAL %" PRId64 " bytes",
               protocol_state_name(job->state), job->identity.batch, job->identity.settled,
               job->sink == NULL ? 0 : sink_in_flight(job->sink),
               job->marks == NULL ? 0 : mark_written(job->marks),
               job->ledger == NULL ? 0 : ledger_wal_bytes(job->ledger));
}

static void serve_signals(struct job *job)
{
    stop_serve(&job->stop);
    if (job->stop.state_wanted) {
        job->stop.state_wanted = false;
        log_state(job);
    }
}

static bool job_stopped(void *arg)
{
    struct job *job = arg;

    serve_signals(job);
    report_alive(job);
    return stop_forced(&job->stop) || (stop_requested(&job->stop) && !job->finishing);
}

struct patience job_patience(struct job *job, int64_t timeout_ms)
{
    return (struct patience){.timeout_ms = timeout_ms, .stopped = job_stopped, .arg = job};
}

static void log_trouble(struct job *job)
{
    int64_t now = clock_now_ms(&job->clock);
    char text[TROUBLE_TEXT_SIZE] = "";
    bool looked = job->trouble_ms > 0;

    if (now - job->trouble_ms < TROUBLE_LOG_MS) {
        return;
    }
    job->trouble_ms = now;
    if (looked && job->state == PROTOCOL_DELIVERING && job->sink != NULL &&
        job->progress_seen == sink_in_flight(job->sink) + job->sent) {
        client_last_trouble(text, sizeof(text));
        log_warning("batch %" PRId64 ": waiting for brokers (%" PRIu64 " records on their way)%s%s",
                    job->batch.number, sink_in_flight(job->sink), text[0] ? ": " : "", text);
        source_batch_read(job->source); /* no need to ask in haste while outputs are away */
    }
    job->progress_seen = job->sink == NULL ? 0 : sink_in_flight(job->sink) + job->sent;
}

bool job_meanwhile(struct job *job, struct err *err)
{
    serve_signals(job);
    report_turn(job);
    if (stop_forced(&job->stop)) {
        return err_set(err, ERR_FORCED, 0, "stopped at once");
    }
    log_trouble(job);
    broker_facts_step(job->brokers);
    if (job->sink != NULL) {
        sink_poll(job->sink, 0);
    }
    if (!mark_step(job->marks, err)) {
        return false;
    }
    settle_mark_owed(job, false);
    if (job->identity.settled > 0 && mark_written(job->marks) == job->identity.settled &&
        failpoint("mark-after")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    return recover_meanwhile(job, err);
}

void job_wait(struct job *job, int timeout_ms)
{
    struct pollfd fds[4] = {
        {.fd = job->stop.fd, .events = POLLIN},
        {.fd = mark_fd(job->marks), .events = POLLIN},
        {.fd = job->sink == NULL ? -1 : sink_fd(job->sink), .events = POLLIN},
        {.fd = job->state == PROTOCOL_DELIVERING ? source_fd(job->source) : -1, .events = POLLIN},
    };

    if (poll(fds, 4, timeout_ms) < 0 && errno != EINTR) {
        log_error("poll: %s", strerror(errno));
    }
}

bool job_by_mark(const struct job *job)
{
    return (job->state == PROTOCOL_IDLE ? job->definition.delivery
                                        : job->batch.definition.delivery) == DELIVERY_TRANSACTIONAL;
}

bool job_knows_incarnation(struct job *job, const char *incarnation, bool *known_out,
                           struct err *err)
{
    if (strcmp(job->last_incarnation, incarnation) != 0) {
        if (!ledger_knows_incarnation(job->ledger, incarnation, &job->last_known, err)) {
            return false;
        }
        memcpy(job->last_incarnation, incarnation, INCARNATION_SIZE);
    }
    *known_out = job->last_known;
    return true;
}

void job_move(struct job *job, enum protocol_move move)
{
    enum protocol_state state =
        protocol_next(job->state, move, job->recovered && !job_by_mark(job));

    log_debug("batch %" PRId64 ": %s → %s", job->batch.number, protocol_state_name(job->state),
              protocol_state_name(state));
    job->state = state;
}

struct protocol_self job_self(const struct job *job)
{
    struct protocol_self self = {
        .uuid = job->identity.uuid,
        .settled = job->identity.settled,
        .in_doubt = job->state == PROTOCOL_IDLE ? 0 : job->batch.number,
        .by_mark = job->state != PROTOCOL_IDLE && job_by_mark(job),
    };

    memcpy(self.job, job->job_hash, sizeof(self.job));
    return self;
}

static bool transaction(struct job *job, bool ahead, job_steps steps, void *arg, struct err *err)
{
    bool told = false;

    for (;;) {
        if ((ahead ? ledger_begin_ahead(job->ledger, err) : ledger_begin(job->ledger, err)) &&
            steps(job, arg, err) && ledger_commit(job->ledger, err)) {
            return true;
        }
        ledger_rollback(job->ledger);
        if (err_action(err->kind) != ERR_PAUSE) {
            return false;
        }
        if (!told) {
            log_error("%s; paused, trying again every second", err->text);
            told = true;
        }
        job_wait(job, FULL_PAUSE_MS);
        serve_signals(job);
        report_turn(job);
        if (stop_requested(&job->stop)) {
            return err_set(err, ERR_FORCED, 0, "stopped with the ledger's disk full");
        }
    }
}

bool job_transaction(struct job *job, job_steps steps, void *arg, struct err *err)
{
    return transaction(job, false, steps, arg, err);
}

bool job_transaction_ahead(struct job *job, job_steps steps, void *arg, struct err *err)
{
    job->unsynced = transaction(job, true, steps, arg, err);
    return job->unsynced;
}

bool job_synced(struct job *job, bool wait, struct err *err)
{
    bool synced = false;

    if (!job->unsynced) {
        return true;
    }
    if (failpoint("settle-before-sync")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (!ledger_synced(job->ledger, wait, &synced, err)) {
        return false;
    }
    if (synced) {
        job->unsynced = false;
        if (job->sink != NULL) {
            sink_let_go(job->sink);
        }
    }
    return true;
}

void job_doubt_topics(struct job *job)
{
    job->facts_ms = 0;
}

bool job_draw(struct job *job, struct err *err)
{
    uint32_t number;

    job->last_incarnation[0] = '\0';
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number)) {
        return err_set(err, ERR_FAILED, errno, "cannot draw a random number: %s", strerror(errno));
    }
    snprintf(job->incarnation, INCARNATION_SIZE, "%08" PRIx32, number);
    return true;
}

bool job_new_incarnation(struct job *job, struct err *err)
{
    return job_draw(job, err) &&
           ledger_new_producer(job->ledger, job->incarnation, clock_wall_ms(&job->clock), err);
}
