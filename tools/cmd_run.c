/* oncesink-simulate run: a job's batches under a load, by the job's own file of settings.
 *
 * Exit: 0 done; 1 the load can't be read, or answers can't be written; 64 usage; 78 settings. */
#include "simulate.h"

#include "arrivals.h"
#include "config.h"
#include "config_table.h"
#include "mem.h"
#include "sim_job.h"
#include "sim_plot.h"
#include "sim_print.h"
#include "sim_summary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_MS_MAX INT64_C(1000000000000000)

enum { SETTINGS_MAX = 100 };

enum run_option {
    SET = 'X',
    CONFIG = 'c',
    ARRIVALS = 'a',
    SPEED = 's',
    OVERHEAD = 'o',
    FIRST = 'f',
    BETWEEN = 'b',
    BATCHES = 'n',
    SECONDS = 't',
    SVG = 'g',
    JSON = 'j'
};

static const struct argp_option OPTIONS[] = {
    {"config", CONFIG, "FILE", 0, "The job's settings, as oncesinkd takes them", 0},
    {"set", SET, "NAME=VALUE", 0, "A setting that wins over the file's; may be given again", 0},
    {"arrivals", ARRIVALS, "FILE", 0, "The load; - is standard input", 0},
    {"speed", SPEED, "RECORDS_PER_S", 0, "How fast a batch's records are processed", 0},
    {"overhead", OVERHEAD, "MS", 0, "What a batch takes besides, whatever its size (0)", 0},
    {"first", FIRST, "MS", 0, "What the first batch takes besides: connecting (0)", 0},
    {"between", BETWEEN, "MS", 0, "From the end of a batch to the next one's beginning (0)", 0},
    {"batches", BATCHES, "N", 0, "End after N batches", 0},
    {"seconds", SECONDS, "N", 0, "End after the ticks of N seconds", 0},
    {"svg", SVG, "FILE", 0, "Write a picture of batch size, rates and delays, too", 0},
    {"json", JSON, NULL, 0,
     "Answer in JSON, for machines: an object a line, the last is the summary", 0},
    {0}};

static const char DOC[] =
    "Lets time go on tick by tick, as oncesinkd would, and prints each batch and a summary.\v"
    "The load has lines SECOND RECORDS,.. with one number a partition: so many records arrive in "
    "that second, counted from the start of the job, evenly over it. Seconds ascend; in those left "
    "out nothing arrives; what arrives in a second below 0 is there at the start (-1 for a "
    "backlog). With several input topics the partitions are theirs in the order of their names, as "
    "many for each. Blank lines and those that begin with # are passed by.\n"
    "\n"
    "A batch takes OVERHEAD + records / SPEED to process. The table has its tick (ms from the "
    "start), the records of each partition, the rate in force (the estimator's, or the initial "
    "one; - if there is none), "
    "what cut it (none, cap, initial, estimator, minimum, records), scheduling and processing "
    "delay (ms), and what it left of what was there. It ends when all has arrived and nothing is "
    "taken any more. job.name, input.topics and bootstrap.servers need not be set. With "
    "batch.interval.ms = 0 a batch's tick is its start.\n"
    "\n"
    "Example: 100000 records are there, 3000 a second come in, 5000 a second can be processed:\n"
    "  (echo -1 50000,50000; for s in {0..59}; do echo $s 1500,1500; done) | oncesink-simulate run "
    "--config job.conf --set backpressure.enabled=true --arrivals - --speed 5000";

struct run {
    const char *config_path, *arrivals_path, *svg_path;
    char *settings[SETTINGS_MAX];
    size_t setting_count;
    double records_per_s;
    bool json;
    int64_t overhead_ms, first_ms, between_ms, batches, seconds;

    struct config *config;
    int64_t *caps;
    struct sim_settings sim;
    struct lines lines;
    struct arrivals arrivals;
    struct sim_job job;
    struct sim_summary summary;
    struct plot plot;
    int file; /* of the arrivals */
};

/* ---- the command line ---- */

static int64_t number_of(struct argp_state *state, const char *name, const char *text, int64_t most)
{
    int64_t number;

    if (!lines_integer(text, &number) || number < 0 || number > most) {
        argp_error(state, "%s takes a whole number from 0 to %" PRId64 ", not '%s'", name, most,
                   text);
    }
    return number;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct run *run = state->input;

    switch (key) {
    case CONFIG:
        run->config_path = text;
        return 0;
    case ARRIVALS:
        run->arrivals_path = text;
        return 0;
    case SVG:
        run->svg_path = text;
        return 0;
    case JSON:
        run->json = true;
        return 0;
    case SET:
        if (strchr(text, '=') == NULL || text[0] == '=') {
            argp_error(state, "--set takes NAME=VALUE, not '%s'", text);
        } else if (run->setting_count == SETTINGS_MAX) {
            argp_error(state, "more than %d settings; put them into the file", SETTINGS_MAX);
        }
        run->settings[run->setting_count++] = text;
        return 0;
    case SPEED:
        if (!lines_real(text, &run->records_per_s) || run->records_per_s <= 0) {
            argp_error(state, "--speed takes a number above 0, not '%s'", text);
        }
        return 0;
    case OVERHEAD:
        run->overhead_ms = number_of(state, "--overhead", text, RUN_MS_MAX);
        return 0;
    case FIRST:
        run->first_ms = number_of(state, "--first", text, RUN_MS_MAX);
        return 0;
    case BETWEEN:
        run->between_ms = number_of(state, "--between", text, RUN_MS_MAX);
        return 0;
    case BATCHES:
        run->batches = number_of(state, "--batches", text, INT64_MAX);
        return 0;
    case SECONDS:
        run->seconds = number_of(state, "--seconds", text, RUN_MS_MAX / 1000);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "which option is '%s' for? Files come with --config and --arrivals",
                   text);
        return 0;
    case ARGP_KEY_END:
        if (run->config_path == NULL || run->arrivals_path == NULL || run->records_per_s <= 0) {
            argp_error(state, "--config, --arrivals and --speed must be given");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- settings ---- */

/* What a job needs to find its Kafka, and a simulated one doesn't. */
static bool fill_in(struct config *config, struct err *err)
{
    static const struct {
        const char *name, *value;
    } FILLED[] = {{"job.name", "simulated"},
                  {"input.topics", "simulated"},
                  {"bootstrap.servers", "localhost:9092"}};

    for (size_t i = 0; i < sizeof(FILLED) / sizeof(FILLED[0]); i++) {
        if (!config_set(config, FILLED[i].name, FILLED[i].value, "oncesink-simulate", err)) {
            return false;
        }
    }
    return true;
}

static bool set_from_line(struct config *config, const char *text, struct err *err)
{
    const char *equals = strchr(text, '=');
    char *name = mem_print("%.*s", (int)(equals - text), text);
    bool done = config_set(config, name, equals + 1, "--set", err);

    free(name);
    return done;
}

static bool read_settings(struct run *run, struct err *err)
{
    bool done;

    run->config = config_new();
    done = fill_in(run->config, err) && config_read_file(run->config, run->config_path, err);
    for (size_t i = 0; done && i < run->setting_count; i++) {
        done = set_from_line(run->config, run->settings[i], err);
    }
    return done && config_finish(run->config, 0, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The partitions belong to the topics in the order of their names, as many to each. */
static bool take_caps(struct run *run, struct err *err)
{
    size_t topics = run->config->input_topics.count;
    size_t each = run->arrivals.partitions / topics;
    char **names;

    if (run->arrivals.partitions % topics != 0) {
        return lines_refuse(&run->lines, err,
                            "%zu partitions can't be those of %zu input topics, as many for each",
                            run->arrivals.partitions, topics);
    }
    names = mem_array(topics, sizeof(*names));
    memcpy(names, run->config->input_topics.items, topics * sizeof(*names));
    qsort(names, topics, sizeof(*names), compare_texts);
    run->caps = mem_array(run->arrivals.partitions, sizeof(*run->caps));
    for (size_t i = 0; i < run->arrivals.partitions; i++) {
        run->caps[i] = config_cap_of(run->config, names[i / each], (int32_t)(i % each));
    }
    free(names);
    return true;
}

static void take_settings(struct run *run)
{
    const struct config *config = run->config;

    run->sim = (struct sim_settings){
        .interval_ms = config->batch_interval_ms,
        .records_max = config->batch_max_records,
        .backpressure = config->backpressure,
        .first_capped = config->first_batch_capped,
        .initial = config->initial_rate,
        .estimator = {.interval_ms = config->batch_interval_ms,
                      .proportional = config->pid_proportional,
                      .integral = config->pid_integral,
                      .derived = config->pid_derived,
                      .rate_min = config->pid_min_rate},
        .minimum = config->rate_min_per_partition,
        .caps = run->caps,
        .records_per_s = run->records_per_s,
        .overhead_ms = run->overhead_ms,
        .first_ms = run->first_ms,
        .between_ms = run->between_ms,
    };
}

/* ---- the run ---- */

/* Reading the load may wait when it comes through a pipe: what has been printed leaves before. */
static ssize_t read_load(void *arg, char *buffer, size_t size)
{
    if (fflush(stdout) != 0) {
        return 0; /* simulate_end says what is wrong */
    }
    return lines_read_file(arg, buffer, size);
}

static bool open_load(struct run *run, struct err *err)
{
    bool from_pipe = strcmp(run->arrivals_path, "-") == 0;

    run->file = from_pipe ? STDIN_FILENO : open(run->arrivals_path, O_RDONLY | O_CLOEXEC);
    if (run->file < 0) {
        return err_set(err, ERR_FAILED, errno, "cannot open '%s': %s", run->arrivals_path,
                       strerror(errno));
    }
    lines_init(&run->lines, (struct lines_source){.read = read_load, .arg = &run->file},
               from_pipe ? NULL : run->arrivals_path);
    return arrivals_open(&run->arrivals, &run->lines, err);
}

static bool run_batches(struct run *run, struct err *err)
{
    int64_t end_ms = run->seconds > 0 ? run->seconds * 1000 : RUN_MS_MAX;
    size_t partitions = run->arrivals.partitions;
    enum sim_step step = SIM_EMPTY;

    if (!run->json) {
        sim_print_heading(partitions, stdout);
    }
    while (step != SIM_END && sim_job_due_ms(&run->job) <= end_ms && !ferror(stdout) &&
           (run->batches == 0 || run->job.batches < run->batches)) {
        struct sim_batch batch;

        step = sim_job_step(&run->job, &batch, err);
        if (step == SIM_FAILED) {
            return false;
        }
        if (step == SIM_BATCH) {
            (run->json ? sim_print_batch_json : sim_print_batch)(&batch, partitions, stdout);
            sim_summary_add(&run->summary, &batch, !run->arrivals.over);
            if (run->svg_path != NULL) {
                plot_add(&run->plot, &batch);
            }
        }
    }
    return true;
}

static bool write_picture(const struct run *run, struct err *err)
{
    FILE *out = fopen(run->svg_path, "we");
    bool written;

    if (out == NULL) {
        return err_set(err, ERR_FAILED, errno, "cannot write '%s': %s", run->svg_path,
                       strerror(errno));
    }
    plot_write(&run->plot, out);
    written = !ferror(out);
    written = fclose(out) == 0 && written;
    return written ||
           err_set(err, ERR_FAILED, errno, "cannot write '%s': %s", run->svg_path, strerror(errno));
}

static bool run_it(struct run *run, struct err *err)
{
    int64_t backlog;

    if (!read_settings(run, err) || !open_load(run, err) || !take_caps(run, err)) {
        return false;
    }
    take_settings(run);
    sim_job_init(&run->job, &run->sim, &run->arrivals);
    sim_summary_init(&run->summary, run->sim.interval_ms);
    if (run->svg_path != NULL) {
        plot_init(&run->plot, run->sim.interval_ms);
    }
    if (!run_batches(run, err) || !sim_job_backlog(&run->job, &backlog, err)) {
        return false;
    }
    (run->json ? sim_summary_print_json : sim_summary_print)(&run->summary, backlog, stdout);
    return run->svg_path == NULL || write_picture(run, err);
}

int cmd_run(int argc, char **argv)
{
    const struct argp argp = {.options = OPTIONS, .parser = parse_option, .doc = DOC};
    struct run run = {.file = -1};
    struct err err;
    bool done;

    argp_parse(&argp, argc, argv, 0, NULL, &run);
    done = run_it(&run, &err);
    plot_deinit(&run.plot);
    sim_job_deinit(&run.job);
    arrivals_deinit(&run.arrivals);
    lines_deinit(&run.lines);
    free(run.caps);
    config_free(run.config);
    if (run.file > STDIN_FILENO) {
        close(run.file);
    }
    return simulate_end(done, &err);
}
