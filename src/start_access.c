/* Whether the job's user may do what the job will do.
 *
 * A missing right on an input, and Write on an output, show at the first request. Read on an
 * output is needed only when a batch has to be read back, after a crash: without this check a job
 * would run for months and then not start again. All that is missing is told at once. */
#include "start_access.h"

#include "job_state.h"
#include "mem.h"

#include <stdlib.h>

enum { ANSWER_MS = 200 };

struct missing {
    bool told;  /* the brokers have answered for every topic */
    char *text; /* "Read on topic 'a', Write on topic 'b'"; NULL = nothing is missing */
    char *first;
};

static void miss(struct missing *missing, const char *operation, const char *topic)
{
    char *text = mem_print("%s%s%s on topic '%s'", missing->text != NULL ? missing->text : "",
                           missing->text != NULL ? ", " : "", operation, topic);

    free(missing->text);
    missing->text = text;
    if (missing->first == NULL) {
        missing->first = mem_print("--operation %s --topic '%s'", operation, topic);
    }
}

static void look_at(const struct job *job, const char *topic, bool read, bool write,
                    struct missing *missing)
{
    const struct topic_fact *fact = topic_facts_find(job->facts, topic);

    if (fact == NULL || !fact->rights_known) {
        missing->told = false;
        return;
    }
    if (read && !fact->may_read) {
        miss(missing, "Read", topic);
    }
    if (write && !fact->may_write) {
        miss(missing, "Write", topic);
    }
}

static void look_at_all(const struct job *job, const struct definition *definition,
                        struct missing *missing)
{
    for (size_t i = 0; i < definition->input_count; i++) {
        look_at(job, definition->inputs[i].topic, true, false, missing);
    }
    for (size_t i = 0; i < definition->output_count; i++) {
        look_at(job, definition->outputs[i].topic, definition->delivery == DELIVERY_IDEMPOTENT,
                true, missing);
    }
}

static bool judge(struct job *job, struct err *err)
{
    struct missing missing = {.told = true};
    bool fine;

    look_at_all(job, job->state == PROTOCOL_IDLE ? &job->definition : &job->batch.definition,
                &missing);
    fine = missing.text == NULL;
    job->access_judged |= missing.told;
    if (!fine) {
        err_set(err, ERR_DECISION, 0,
                "the job's user lacks ACLs: %s; grant them (kafka-acls --add --allow-principal "
                "User:... %s)",
                missing.text, missing.first);
    }
    free(missing.text);
    free(missing.first);
    return fine;
}

bool start_access(struct job *job, struct err *err)
{
    return job->access_judged || judge(job, err);
}

bool start_access_again(struct job *job, struct err *err)
{
    if (topic_facts_step(job->facts, 0)) {
        topic_facts_ask_ids(job->facts);
    }
    topic_facts_step(job->facts, ANSWER_MS);
    return judge(job, err);
}
