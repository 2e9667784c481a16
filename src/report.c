/* What a running job tells others.
 *
 * A sign of life is given by whatever looks around: every turn of the loop, and every wait for a
 * broker or a lock in it. Metrics are written after each batch (a burst of small ones shares a
 * file), and every few seconds, so that an old file means a process that is gone or hangs. */
#include "report.h"

#include "job_state.h"
#include "kafka_client.h"
#include "log.h"
#include "metrics.h"
#include "wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { METRICS_MS_MIN = 100, METRICS_MS = 2000, TROUBLE_SIZE = 128, FAILED_SIZE = 64 };

/* ---- the service manager ---- */

static int64_t behind(const struct job *job)
{
    int64_t sum = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        sum += input->end_offset > input->next_offset ? input->end_offset - input->next_offset : 0;
    }
    return sum;
}

static void tell_status(struct job *job)
{
    const char *stopping = stop_requested(&job->stop) ? "stopping; " : "";
    char text[SERVICE_STATUS_SIZE];
    char trouble[TROUBLE_SIZE];

    client_last_trouble(trouble, sizeof(trouble));
    if (job->state == PROTOCOL_IDLE) {
        snprintf(text, sizeof(text), "%ssettled up to batch %" PRId64 ", %" PRId64 " behind%s%s",
                 stopping, job->identity.settled, behind(job), trouble[0] != '\0' ? "; " : "",
                 trouble);
    } else {
        size_t resting = read_tasks_in(&job->tasks, READ_TASK_RESTING, NULL);
        char failed[FAILED_SIZE] = "";

        if (resting > 0) {
            snprintf(failed, sizeof(failed), ", failed (%zu input partitions give nothing)",
                     resting);
        }
        snprintf(text, sizeof(text), "%sbatch %" PRId64 " (%" PRId64 " offsets) is %s%s%s%s",
                 stopping, job->batch.number, batch_planned(&job->batch),
                 protocol_state_name(job->state), failed, trouble[0] != '\0' ? "; " : "", trouble);
    }
    service_status(&job->report.service, text);
}

static void step_service(struct job *job)
{
    struct service *service = &job->report.service;

    if (service->fd < 0) {
        return;
    }
    if (stop_requested(&job->stop) && service->phase != SERVICE_STOPPING) {
        service_stopping(service, wait_now_ms());
    }
    tell_status(job);
    service_step(service, wait_now_ms());
}

/* ---- metrics ---- */

static void complain(struct report *report, const struct err *err)
{
    if (report->complained != err->cause) {
        log_warning("%s; the job goes on, and tries again", err->text);
        report->complained = err->cause;
    }
}

/* A transaction brings its mark with it. */
static int64_t marked(const struct job *job)
{
    if (job_by_mark(job)) {
        return job->identity.settled;
    }
    return job->marks == NULL ? 0 : mark_written(job->marks);
}

static void write_metrics(struct job *job, bool up, int exit_code)
{
    struct report *report = &job->report;
    struct metrics metrics = {
        .job = job->config->job_name,
        .version = ONCESINK_VERSION,
        .kafka_library = rd_kafka_version_str(),
        .ledger_library = ledger_library(),
        .wall_ms = clock_wall_ms(&job->clock),
        .start_wall_ms = report->start_wall_ms,
        .up = up,
        .exit_code = exit_code,
        .in_doubt = job->state != PROTOCOL_IDLE,
        .in_flight = job->sink == NULL ? 0 : (int64_t)sink_in_flight(job->sink),
        .settled = job->identity.settled,
        .mark = marked(job),
        .wal_bytes = job->ledger == NULL ? 0 : ledger_wal_bytes(job->ledger),
        .figures = report->figures,
        .inputs = job->inputs.items,
        .input_count = job->inputs.count,
    };
    char *text = metrics_text(&metrics);
    struct err err;

    if (metrics_write(report->metrics_path, text, &err)) {
        report->complained = 0;
    } else {
        complain(report, &err);
    }
    free(text);
    report->written_ms = wait_now_ms();
    report->due = false;
}

static void count(struct job *job)
{
    struct err err;

    if (!ledger_figures(job->ledger, &job->report.figures, &err)) {
        complain(&job->report, &err);
    }
}

static bool wants_metrics(const struct job *job, int64_t age_ms)
{
    return job->report.metrics_path != NULL && wait_now_ms() - job->report.written_ms >= age_ms;
}

/* ---- a process's life ---- */

void report_open(struct job *job)
{
    const char *path = job->config->metrics_file;

    job->report.metrics_path = path != NULL && path[0] != '\0' ? path : NULL;
    job->report.start_wall_ms = clock_wall_ms(&job->clock);
    service_open(&job->report.service);
}

void report_ready(struct job *job)
{
    tell_status(job);
    service_ready(&job->report.service, wait_now_ms());
    if (wants_metrics(job, 0)) {
        count(job);
        write_metrics(job, true, 0);
    }
}

void report_alive(struct job *job)
{
    step_service(job);
    if (job->report.written_ms > 0 && wants_metrics(job, METRICS_MS)) {
        write_metrics(job, true, 0); /* the figures are those of before */
    }
}

void report_turn(struct job *job)
{
    step_service(job);
    if (wants_metrics(job, job->report.due ? METRICS_MS_MIN : METRICS_MS)) {
        count(job);
        write_metrics(job, true, 0);
    }
}

void report_settled(struct job *job)
{
    job->report.due = true;
    report_turn(job);
}

void report_ended(struct job *job, bool ok, const struct err *err)
{
    struct service *service = &job->report.service;

    service_status(service, ok ? "stopped: everything is settled" : err->text);
    if (service->phase != SERVICE_STOPPING) {
        service_stopping(service, wait_now_ms());
    }
    service_close(service);
    if (job->report.metrics_path == NULL || job->report.written_ms == 0) {
        return; /* a file that is there may be the ledger's owner's */
    }
    if (ok) {
        metrics_remove(job->report.metrics_path);
    } else {
        count(job);
        write_metrics(job, false, err_exit_code(err->kind));
    }
}
