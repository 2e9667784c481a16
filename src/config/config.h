/* The settings in force: read from a file, from --set, and from defaults, by one table
 * (config_table.c).
 *
 * Order: config_new (defaults) → config_read_file → config_set (for --set; later wins) →
 * config_finish (checks relations, resolves derived defaults). Afterwards it doesn't change.
 * Errors: ERR_SETTINGS, with file:line, the name, and the way out. After an error the config can
 * only be freed. Main thread. */
#ifndef CONFIG_H
#define CONFIG_H

#include "batch.h"
#include "err.h"
#include "speculation.h"

#include <stdio.h>

struct config_list {
    char **items;
    size_t count;
};

enum config_start { CONFIG_START_EARLIEST, CONFIG_START_LATEST, CONFIG_START_TIME };

enum config_client { CONFIG_BOTH, CONFIG_CONSUMER, CONFIG_PRODUCER };

/* A setting that goes to librdkafka as it is. */
struct config_kafka {
    enum config_client client;
    char *name; /* without a prefix */
    char *value;
    char *written; /* the name as the user wrote it */
    char *origin;
    bool hidden;    /* shown in no output */
    bool from_file; /* of settings; a second line for it is refused */
};

/* One item of rate.max.per.partition: topic NULL = every partition not named (`*=N`, or a lone
 * number). */
struct config_cap {
    char *topic;
    int32_t partition;
    int64_t records_per_s; /* 0 or less = none */
};

struct config {
    char *job_name;
    char *group_id;         /* default: job_name */
    char *transactional_id; /* default: job_name */
    char *ledger_path;      /* default: <job.name>.db */
    struct config_list input_topics;
    enum config_start start;
    int64_t start_ms;        /* CONFIG_START_TIME: resolved at start */
    int64_t start_before_ms; /* by_duration: that long before the start; −1 = not by duration */
    enum isolation isolation;
    char *output_topic; /* with {topic} */
    char *error_topic;  /* with {topic} */
    enum partitioner partitioner;
    enum provenance_kind provenance;
    enum delivery delivery;
    int64_t batch_interval_ms;
    int64_t batch_max_records;
    bool shutdown_graceful;
    int64_t shutdown_timeout_ms; /* resolved */
    struct config_cap *caps;
    size_t cap_count;
    int64_t rate_min_per_partition;
    bool first_batch_capped;
    bool backpressure;
    int64_t initial_rate; /* records/s, 0 = none */
    double pid_proportional, pid_integral, pid_derived;
    double pid_min_rate; /* records/s */
    int64_t rate_state_max_age_ms;
    int64_t fetch_max_records;
    int64_t fetch_timeout_ms;
    int64_t task_max_failures;
    struct speculation_settings speculation;
    int64_t request_timeout_ms;
    int64_t session_timeout_ms, heartbeat_interval_ms, max_poll_interval_ms;
    bool warn_of_pace; /* fetch.max.records or session.timeout.ms was set: the pair is watched */
    int64_t transaction_timeout_ms; /* the client's setting of that name */
    int64_t recovery_settle_ms;     /* −1 = by the outputs' replicas: 1000 with one, else 3000 */
    enum on_data_loss on_data_loss;
    enum on_bad_record on_bad_record;
    int64_t ledger_keep_batches;
    int64_t memory_max_bytes;
    char *metrics_file;         /* NULL = none */
    int log_level;              /* enum log_level */
    struct config_kafka *kafka; /* bootstrap.servers among them; those of one client last */
    size_t kafka_count;
    struct config_place *places; /* where each row's value came from, in the table's order */
    struct config_names *names;  /* librdkafka's names of settings, once one was looked up */
};

struct config *config_new(void);
void config_free(struct config *config);

/* `origin` is shown in messages: "FILE:LINE" or "--set". */
MUST_CHECK bool config_set(struct config *config, const char *name, const char *value,
                           const char *origin, struct err *err);
MUST_CHECK bool config_read_file(struct config *config, const char *path, struct err *err);

/* The same for text in memory; `name` stands for the file's in messages. */
MUST_CHECK bool config_read_text(struct config *config, const char *name, const char *text,
                                 size_t size, struct err *err);

/* `now_ms` (wall) resolves `by_duration:`. Warnings are logged. */
MUST_CHECK bool config_finish(struct config *config, int64_t now_ms, struct err *err);

/* The cap of one partition, records per second; 0 = none. */
int64_t config_cap_of(const struct config *config, const char *topic, int32_t partition);

/* `{topic}` in the pattern replaced; of the caller's. */
char *config_topic_name(const char *pattern, const char *topic);

/* --check: every setting in force, `name = value  # origin`; secrets are shown as [hidden]. */
void config_print(const struct config *config, FILE *out);

/* --help: every row of the table. */
void config_print_help(FILE *out);

#endif
