/* What a producer costs that lives shorter than the process.
 *
 *     producers [-X NAME=VALUE]… shared|batch|record BOOTSTRAP OUTPUT BATCHES RECORDS BYTES
 *
 * Writes BATCHES batches of RECORDS records with values of BYTES bytes to the topic OUTPUT, whose
 * partitions get equal parts. As Spark does it, a batch is one task a partition; the tasks of a
 * batch run beside each other, and the next batch begins when all of them are done.
 *
 *     shared   one producer for all batches: a task puts its part in, the batch is flushed
 *     batch    one producer a task: made, filled, flushed, destroyed
 *     record   one producer a record: the same
 *
 * Settings are those of raw_loop.c, and no metrics are pushed, as in the product: else destroying a
 * producer may take a second (librdkafka waits for the broker's answer about them). Making and
 * destroying producers, and with them their threads and connections, is in the time, the shared
 * one's too. Prints one line of JSON. */
#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    EXTRAS_MAX = 32,
    PARTITIONS_MAX = 64,
    ANSWER_MS = 10000,
    FLUSH_MS = 60000,
};

enum life { LIFE_SHARED, LIFE_BATCH, LIFE_RECORD };

static const char *const LIVES[] = {
    [LIFE_SHARED] = "shared",
    [LIFE_BATCH] = "batch",
    [LIFE_RECORD] = "record",
};

/* What all tasks read and none changes. */
struct job {
    const char *bootstrap;
    const char *output;
    const char *extras[EXTRAS_MAX];
    size_t extra_count;
    enum life life;
    rd_kafka_t *producer; /* LIFE_SHARED */
    rd_kafka_topic_t *topic;
    char *value;
    size_t size;
};

/* One partition's part of a batch. */
struct task {
    const struct job *job;
    int32_t partition;
    int64_t records;
    pthread_t thread;
};

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        give_up("%s", text);
    }
}

static void be_quiet(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (level <= 3) {
        fprintf(stderr, "%s: %s\n", facility, text);
    }
}

static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up("a record wasn't delivered: %s", rd_kafka_err2str(message->err));
    }
}

static rd_kafka_t *make_producer(const struct job *job)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    rd_kafka_t *producer;

    set(conf, "bootstrap.servers", job->bootstrap);
    set(conf, "enable.metrics.push", "false");
    set(conf, "enable.idempotence", "true");
    set(conf, "enable.gapless.guarantee", "true");
    set(conf, "message.timeout.ms", "0");
    set(conf, "max.in.flight.requests.per.connection", "1");
    set(conf, "linger.ms", "5");
    set(conf, "batch.num.messages", "100000");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "queue.buffering.max.kbytes", "8192");
    for (size_t i = 0; i < job->extra_count; i++) {
        const char *equals = strchr(job->extras[i], '=');
        char name[128];

        if (equals == NULL) {
            give_up("-X %s: no '='", job->extras[i]);
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - job->extras[i]), job->extras[i]);
        set(conf, name, equals + 1);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_log_cb(conf, be_quiet);
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer == NULL) {
        give_up("%s", text);
    }
    return producer;
}

static void fill(const struct job *job, rd_kafka_t *producer, rd_kafka_topic_t *topic,
                 int32_t partition, int64_t records)
{
    for (int64_t i = 0; i < records; i++) {
        while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, job->value, job->size, NULL,
                                0, NULL) != 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                give_up("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
            }
            rd_kafka_poll(producer, 100);
        }
    }
}

static void flush(rd_kafka_t *producer)
{
    if (rd_kafka_flush(producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up("flush took too long");
    }
}

/* A producer for so many records alone. */
static void deliver_alone(const struct task *task, int64_t records)
{
    rd_kafka_t *producer = make_producer(task->job);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, task->job->output, NULL);

    fill(task->job, producer, topic, task->partition, records);
    flush(producer);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

static void *run_task(void *argument)
{
    const struct task *task = argument;
    const struct job *job = task->job;

    switch (job->life) {
    case LIFE_SHARED:
        fill(job, job->producer, job->topic, task->partition, task->records);
        break;
    case LIFE_BATCH:
        deliver_alone(task, task->records);
        break;
    case LIFE_RECORD:
        for (int64_t i = 0; i < task->records; i++) {
            deliver_alone(task, 1);
        }
        break;
    }
    return NULL;
}

static void run_batch(const struct job *job, int partitions, int64_t records)
{
    struct task tasks[PARTITIONS_MAX] = {0};

    for (int p = 0; p < partitions; p++) {
        tasks[p] = (struct task){
            .job = job,
            .partition = p,
            .records = records / partitions + (p < records % partitions),
        };
        if (pthread_create(&tasks[p].thread, NULL, run_task, &tasks[p]) != 0) {
            give_up("no thread");
        }
    }
    for (int p = 0; p < partitions; p++) {
        pthread_join(tasks[p].thread, NULL);
    }
    if (job->life == LIFE_SHARED) {
        flush(job->producer);
    }
}

/* Not in the time: a client of its own asks how many partitions there are. */
static int count_partitions(const struct job *job)
{
    rd_kafka_t *client = make_producer(job);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, job->output, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, ANSWER_MS);
    int count;

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR || metadata->topic_cnt != 1) {
        give_up("no topic '%s': %s", job->output, rd_kafka_err2str(error));
    }
    count = metadata->topics[0].partition_cnt;
    if (count < 1 || count > PARTITIONS_MAX) {
        give_up("'%s' has %d partitions", job->output, count);
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return count;
}

static enum life life_of(const char *name)
{
    for (size_t i = 0; i < sizeof(LIVES) / sizeof(LIVES[0]); i++) {
        if (strcmp(name, LIVES[i]) == 0) {
            return (enum life)i;
        }
    }
    give_up("'%s' is neither shared nor batch nor record", name);
}

static int64_t positive(const char *text)
{
    char *end;
    int64_t number = strtoll(text, &end, 10);

    if (*end != '\0' || number <= 0) {
        give_up("'%s' isn't a positive number", text);
    }
    return number;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    struct job job = {0};
    int at = 1;
    int64_t batches;
    int64_t records;
    int partitions;
    double began;

    for (; at + 1 < argc && strcmp(argv[at], "-X") == 0; at += 2) {
        if (job.extra_count == EXTRAS_MAX) {
            give_up("more than %d times -X", EXTRAS_MAX);
        }
        job.extras[job.extra_count++] = argv[at + 1];
    }
    if (argc - at != 6) {
        give_up("usage: producers [-X NAME=VALUE]... shared|batch|record "
                "BOOTSTRAP OUTPUT BATCHES RECORDS BYTES");
    }
    job.life = life_of(argv[at]);
    job.bootstrap = argv[at + 1];
    job.output = argv[at + 2];
    batches = positive(argv[at + 3]);
    records = positive(argv[at + 4]);
    job.size = (size_t)positive(argv[at + 5]);
    job.value = malloc(job.size);
    if (job.value == NULL) {
        give_up("no memory");
    }
    memset(job.value, 'v', job.size);
    partitions = count_partitions(&job);

    began = now_s();
    if (job.life == LIFE_SHARED) {
        job.producer = make_producer(&job);
        job.topic = rd_kafka_topic_new(job.producer, job.output, NULL);
    }
    for (int64_t batch = 0; batch < batches; batch++) {
        run_batch(&job, partitions, records);
    }
    if (job.life == LIFE_SHARED) {
        rd_kafka_topic_destroy(job.topic);
        rd_kafka_destroy(job.producer);
    }
    printf("{\"life\": \"%s\", \"records\": %" PRId64 ", \"seconds\": %.4f}\n", LIVES[job.life],
           batches * records, now_s() - began);
    free(job.value);
    return 0;
}
