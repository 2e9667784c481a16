/* What one batch's bookkeeping costs: the settling of batch N and the plan of N + 1 in one
 * transaction, the rate's state included, as src/settle.c and src/plan.c do it, and what goes on
 * between batches (the WAL copied into the file, old batches pruned a bite at a time).
 *
 *     build/release/bench/ledger [--batches N] [--measured N] [--partitions N,…]
 *                                [--ledgers fresh,kept,pruned] [--folder DIR] [--json FILE]
 *
 * In a --folder the ledgers are left, and gone on with when they are there already; --measured 0
 * only fills them.
 *
 * Ledgers: `fresh` has had no batch; in `kept` --batches batches were settled (of 12 partitions,
 * through the ledger's own calls) and all are still there; in `pruned` as many were settled with
 * the default ledger.keep.batches and pruning going on. Then, on each, --measured batches of each
 * number of partitions. Both delivery modes write the same rows.
 *
 * A shim before SQLite's VFS measures the time in fsync and fdatasync, which is told apart, since
 * it is the disk's. While a ledger is filled it syncs nothing: that is the only thing that differs
 * from a job's ledger. Times are in ms; a batch that found something to tidy or prune has that
 * time too. */
#include "ledger.h"
#include "mem.h"

#include <getopt.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PARTITIONS_MOST = 1000,
    FILL_PARTITIONS = 12,
    FILL_TOGETHER = 50, /* batches in a transaction while a ledger is filled */
    RECORDS = 1000,     /* of a partition in a batch */
    SIZES_MAX = 8,
    KEEP_DEFAULT = 100000,
    MEASURED_OF_MANY_PARTITIONS = 300,
    WARM = 20, /* batches before those that are measured */
};

static const int64_t KEEP_ALL = INT64_C(1000000000000);

static _Noreturn void fail(const char *text)
{
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static void must(bool ok, const struct err *err)
{
    if (!ok) {
        fail(err->text);
    }
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- the shim: counts bytes written, measures syncs ---- */

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
};

static struct shim {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods;
    bool filling;
    double sync_ms;
    int64_t written; /* bytes */
} shim;

static sqlite3_file *real(sqlite3_file *file)
{
    return ((struct shim_file *)(void *)file)->real;
}

static int shim_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int shim_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    return real(file)->pMethods->xRead(real(file), bytes, size, offset);
}

static int shim_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    shim.written += size;
    return real(file)->pMethods->xWrite(real(file), bytes, size, offset);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real(file)->pMethods->xTruncate(real(file), size);
}

static int shim_sync(sqlite3_file *file, int flags)
{
    double began = now_ms();
    int code = shim.filling ? SQLITE_OK : real(file)->pMethods->xSync(real(file), flags);

    shim.sync_ms += now_ms() - began;
    return code;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real(file)->pMethods->xFileSize(real(file), size);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xLock(real(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int shim_check_reserved(sqlite3_file *file, int *out)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int shim_control(sqlite3_file *file, int operation, void *arg)
{
    return real(file)->pMethods->xFileControl(real(file), operation, arg);
}

static int shim_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real(file)->pMethods->xShmUnmap(real(file), delete_it);
}

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *flags_out)
{
    struct shim_file *opened = (struct shim_file *)(void *)file;
    int code;

    (void)vfs;
    *opened = (struct shim_file){.real = (sqlite3_file *)(void *)(opened + 1)};
    code = shim.real->xOpen(shim.real, name, opened->real, flags, flags_out);
    if (opened->real->pMethods != NULL) {
        opened->base.pMethods = &shim.methods;
    }
    return code;
}

static void shim_install(void)
{
    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = *shim.real;
    shim.vfs.szOsFile = (int)sizeof(struct shim_file) + shim.real->szOsFile;
    shim.vfs.zName = "timed";
    shim.vfs.pNext = NULL;
    shim.vfs.xOpen = shim_open;
    shim.methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = shim_close,
        .xRead = shim_read,
        .xWrite = shim_write,
        .xTruncate = shim_truncate,
        .xSync = shim_sync,
        .xFileSize = shim_size,
        .xLock = shim_lock,
        .xUnlock = shim_unlock,
        .xCheckReservedLock = shim_check_reserved,
        .xFileControl = shim_control,
        .xSectorSize = shim_sector_size,
        .xDeviceCharacteristics = shim_characteristics,
        .xShmMap = shim_shm_map,
        .xShmLock = shim_shm_lock,
        .xShmBarrier = shim_shm_barrier,
        .xShmUnmap = shim_shm_unmap,
    };
    if (sqlite3_vfs_register(&shim.vfs, 1) != SQLITE_OK) {
        fail("cannot register the VFS");
    }
}

/* ---- a job's ledger without the job ---- */

struct books {
    struct ledger *ledger;
    char *path;
    int64_t keep;
    struct batch batch; /* the one in doubt; number 0 = none yet */
    int64_t number;
    int64_t next[PARTITIONS_MOST]; /* offsets, in and out */
    struct ledger_input *inputs;
    struct ledger_output *outputs;
    int64_t *records;
};

/* A ledger that is new gets its inputs; one that was filled before is gone on with. */
static void books_find(struct books *books)
{
    struct ledger_identity identity;
    struct ledger_inputs inputs;
    struct err err = {0};
    bool found = false;

    ledger_identity(books->ledger, &identity);
    books->number = identity.batch;
    if (identity.batch > 0) {
        must(ledger_unsettled(books->ledger, &books->batch, &found, &err), &err);
        must(ledger_inputs_load(books->ledger, &inputs, &err), &err);
        for (size_t i = 0; i < inputs.count; i++) {
            books->next[inputs.items[i].partition] = inputs.items[i].next_offset;
        }
        ledger_inputs_deinit(&inputs);
        return;
    }
    must(ledger_begin(books->ledger, &err), &err);
    for (int32_t p = 0; p < PARTITIONS_MOST; p++) {
        const struct ledger_input input = {
            .topic = (char *)(uintptr_t) "orders", .partition = p, .leader_epoch = -1};

        must(ledger_input_put(books->ledger, &input, &err), &err);
    }
    must(ledger_commit(books->ledger, &err), &err);
}

static void books_open(struct books *books, const char *folder, const char *name, int64_t keep)
{
    struct ledger_options options = {.job = "bench", .create = true};
    char incarnation[INCARNATION_SIZE];
    struct err err = {0};

    *books = (struct books){
        .path = mem_print("%s/%s.db", folder, name),
        .keep = keep,
        .inputs = mem_array(PARTITIONS_MOST, sizeof(*books->inputs)),
        .outputs = mem_array(PARTITIONS_MOST, sizeof(*books->outputs)),
        .records = mem_array(PARTITIONS_MOST, sizeof(*books->records)),
    };
    options.path = books->path;
    snprintf(incarnation, sizeof(incarnation), "%08x", (unsigned)time(NULL));
    must(ledger_open(&options, &books->ledger, &err), &err);
    must(ledger_start(books->ledger, incarnation, 1, &err), &err);
    books_find(books);
}

static void drop_file(const char *path, const char *ending)
{
    char *file = mem_print("%s%s", path, ending);

    unlink(file);
    free(file);
}

static void books_close(struct books *books, bool drop)
{
    ledger_close(books->ledger);
    batch_deinit(&books->batch);
    if (drop) {
        drop_file(books->path, "");
        drop_file(books->path, "-wal");
        drop_file(books->path, "-shm");
        drop_file(books->path, ".lock");
    }
    free(books->path);
    free(books->inputs);
    free(books->outputs);
    free(books->records);
}

static void next_batch(struct books *books, int32_t partitions, struct batch *batch)
{
    const int64_t number = books->number + 1;
    struct definition *definition = &batch->definition;

    *batch = (struct batch){
        .number = number,
        .ranges = mem_array((size_t)partitions, sizeof(*batch->ranges)),
        .range_count = (size_t)partitions,
        .fences = mem_array((size_t)partitions, sizeof(*batch->fences)),
        .fence_count = (size_t)partitions,
        .tick_ms = 1700000000000 + number * 1000,
        .started_ms = 1700000000002 + number * 1000,
        .planned_wall_ms = 1700000000003 + number * 1000,
        .rate = 250000,
        .limited_by = LIMITED_ESTIMATOR,
    };
    *definition = (struct definition){
        .inputs = mem_array(1, sizeof(*definition->inputs)),
        .input_count = 1,
        .outputs = mem_array(1, sizeof(*definition->outputs)),
        .output_count = 1,
    };
    definition->inputs[0].topic = mem_text("orders");
    definition->inputs[0].error_topic = mem_text("orders_error");
    definition->outputs[0].topic = mem_text("orders_out");
    definition->outputs[0].partitions = PARTITIONS_MOST;
    for (int32_t p = 0; p < partitions; p++) {
        batch->ranges[p] = (struct range){.partition = p,
                                          .from = books->next[p],
                                          .until = books->next[p] + RECORDS,
                                          .end = books->next[p] + 3 * RECORDS,
                                          .leader_epoch = 4};
        batch->fences[p] = (struct fence){
            .topic = mem_text("orders_out"), .partition = p, .offset = books->next[p]};
    }
}

/* The outcome of the batch in doubt; what it points to lives in books. */
static void outcome(struct books *books, struct ledger_settlement *settlement,
                    struct rate_estimate *rate)
{
    const struct batch *batch = &books->batch;
    const int64_t records = batch_planned(batch);

    *rate = (struct rate_estimate){.time_ms = batch->started_ms + 50,
                                   .rate = 1e6 / 7 + (double)batch->number,
                                   .error = -1.0 / 3 * (double)batch->number,
                                   .published = 142857 + batch->number};
    for (size_t i = 0; i < batch->range_count; i++) {
        const struct range *range = &batch->ranges[i];

        books->inputs[i] = (struct ledger_input){.topic = batch->definition.inputs[0].topic,
                                                 .partition = range->partition,
                                                 .next_offset = range->until,
                                                 .leader_epoch = 4};
        snprintf(books->inputs[i].topic_id, TOPIC_ID_SIZE, "bGVkZ2VyIG9mIGEgam9iIQ");
        books->outputs[i] = (struct ledger_output){.topic = batch->definition.outputs[0].topic,
                                                   .partition = range->partition,
                                                   .next_offset = range->until,
                                                   .refreshed_wall_ms = batch->planned_wall_ms};
        snprintf(books->outputs[i].topic_id, TOPIC_ID_SIZE, "YW5vdGhlciB0b3BpYyBpZA");
        books->records[i] = range->until - range->from;
    }
    *settlement = (struct ledger_settlement){
        .batch = batch->number,
        .ended_ms = batch->started_ms + 50,
        .settled_wall_ms = batch->planned_wall_ms + 50,
        .processing_ms = 50,
        .scheduling_ms = 2,
        .records = records,
        .outputs = records,
        .rate = rate,
        .inputs = books->inputs,
        .input_count = batch->range_count,
        .input_records = books->records,
        .outputs_after = books->outputs,
        .output_count = batch->range_count,
        .output_records = books->records,
    };
}

static bool store(struct books *books, const struct ledger_settlement *settlement,
                  struct batch *next, struct err *err)
{
    return (settlement == NULL || ledger_settle(books->ledger, settlement, err)) &&
           ledger_define(books->ledger, &next->definition, err) &&
           ledger_plan(books->ledger, next, err);
}

/* One batch more; ms it took. Filling puts several into a transaction. */
static double step(struct books *books, int32_t partitions, bool begin, bool commit)
{
    struct ledger_settlement settlement;
    struct rate_estimate rate;
    struct batch next;
    struct err err = {0};
    const bool first = books->batch.number == 0;
    double began;
    double took;

    if (!first) {
        outcome(books, &settlement, &rate);
    }
    for (size_t i = 0; i < books->batch.range_count; i++) {
        books->next[books->batch.ranges[i].partition] = books->batch.ranges[i].until;
    }
    next_batch(books, partitions, &next);
    began = now_ms();
    if (begin) {
        must(ledger_check_file(books->ledger, &err) && ledger_begin(books->ledger, &err), &err);
    }
    must(store(books, first ? NULL : &settlement, &next, &err), &err);
    if (commit) {
        must(ledger_commit(books->ledger, &err), &err);
        ledger_tidy(books->ledger);
        must(ledger_prune(books->ledger, books->keep, &err), &err);
    }
    took = now_ms() - began;
    batch_deinit(&books->batch);
    books->batch = next;
    books->number = next.number;
    return took;
}

static void fill(struct books *books, int64_t batches)
{
    const double began = now_ms();

    if (books->number > 0) {
        return; /* filled before */
    }

    shim.filling = true;
    for (int64_t i = 0; i < batches; i++) {
        step(books, FILL_PARTITIONS, i % FILL_TOGETHER == 0,
             i % FILL_TOGETHER == FILL_TOGETHER - 1 || i == batches - 1);
        if (i % 100000 == 99999) {
            fprintf(stderr, "%s: %" PRId64 " batches after %.0f s\n", books->path, i + 1,
                    (now_ms() - began) / 1e3);
        }
    }
    shim.filling = false;
}

/* ---- figures ---- */

struct figures {
    const char *ledger;
    int64_t batches; /* settled before */
    int32_t partitions;
    int measured;
    double whole_p50, whole_p99, whole_mean;
    double work_p50, work_p99, work_mean; /* without the time in syncs */
    double written_kib;                   /* a batch, into the WAL and the file */
    int64_t file_bytes, wal_bytes;
};

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static double quantile(const double *sorted, int count, double q)
{
    return sorted[(int)((double)(count - 1) * q + 0.5)];
}

static double mean(const double *values, int count)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum / count;
}

static int64_t bytes_of(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 ? found.st_size : 0;
}

static void measure(struct books *books, const char *name, int32_t partitions, int measured,
                    struct figures *figures_out)
{
    double *whole = mem_array((size_t)measured, sizeof(*whole));
    double *work = mem_array((size_t)measured, sizeof(*work));
    const int64_t batches = books->number;

    for (int i = 0; i < WARM; i++) {
        step(books, partitions, true, true);
    }
    shim.written = 0;
    for (int i = 0; i < measured; i++) {
        shim.sync_ms = 0;
        whole[i] = step(books, partitions, true, true);
        work[i] = whole[i] - shim.sync_ms;
    }
    qsort(whole, (size_t)measured, sizeof(*whole), compare);
    qsort(work, (size_t)measured, sizeof(*work), compare);
    *figures_out = (struct figures){
        .ledger = name,
        .batches = batches,
        .partitions = partitions,
        .measured = measured,
        .whole_p50 = quantile(whole, measured, 0.5),
        .whole_p99 = quantile(whole, measured, 0.99),
        .whole_mean = mean(whole, measured),
        .work_p50 = quantile(work, measured, 0.5),
        .work_p99 = quantile(work, measured, 0.99),
        .work_mean = mean(work, measured),
        .written_kib = (double)shim.written / 1024 / measured,
        .file_bytes = bytes_of(books->path),
        .wal_bytes = ledger_wal_bytes(books->ledger),
    };
    free(whole);
    free(work);
}

static void print_head(void)
{
    printf("%-7s %9s %10s %21s %21s %11s %9s %8s\n", "", "", "", "without sync, ms",
           "with sync, ms", "", "", "");
    printf("%-7s %9s %10s %6s %6s %7s  %6s %6s %7s %11s %9s %8s\n", "ledger", "batches",
           "partitions", "p50", "p99", "mean", "p50", "p99", "mean", "KiB written", "file MiB",
           "WAL MiB");
}

static void print_row(const struct figures *row)
{
    printf("%-7s %9" PRId64 " %10d %6.3f %6.3f %7.3f  %6.3f %6.3f %7.3f %11.0f %9.1f %8.1f\n",
           row->ledger, row->batches, (int)row->partitions, row->work_p50, row->work_p99,
           row->work_mean, row->whole_p50, row->whole_p99, row->whole_mean, row->written_kib,
           (double)row->file_bytes / 1048576, (double)row->wal_bytes / 1048576);
    fflush(stdout);
}

static void write_json(FILE *file, const struct figures *rows, size_t count)
{
    fprintf(file, "[\n");
    for (size_t i = 0; i < count; i++) {
        const struct figures *row = &rows[i];

        fprintf(file,
                "  {\"ledger\": \"%s\", \"batches\": %" PRId64
                ", \"partitions\": %d, \"measured\": %d,\n"
                "   \"work_p50_ms\": %.4f, \"work_p99_ms\": %.4f, \"work_mean_ms\": %.4f,\n"
                "   \"whole_p50_ms\": %.4f, \"whole_p99_ms\": %.4f, \"whole_mean_ms\": %.4f,\n"
                "   \"written_kib\": %.1f, \"file_bytes\": %" PRId64 ", \"wal_bytes\": %" PRId64
                "}%s\n",
                row->ledger, row->batches, (int)row->partitions, row->measured, row->work_p50,
                row->work_p99, row->work_mean, row->whole_p50, row->whole_p99, row->whole_mean,
                row->written_kib, row->file_bytes, row->wal_bytes, i + 1 < count ? "," : "");
    }
    fprintf(file, "]\n");
}

/* ---- the program ---- */

struct options {
    int64_t batches;
    int measured;
    int32_t partitions[SIZES_MAX];
    size_t partition_count;
    const char *ledgers;
    const char *folder; /* NULL = one of its own below /tmp */
    const char *json;
};

static void parse_partitions(const char *text, struct options *options)
{
    char *end = NULL;

    options->partition_count = 0;
    do {
        long value = strtol(text, &end, 10);

        if (end == text || value < 1 || value > PARTITIONS_MOST ||
            options->partition_count == SIZES_MAX) {
            fail("--partitions: up to 8 numbers from 1 to 1000");
        }
        options->partitions[options->partition_count++] = (int32_t)value;
        text = end + 1;
    } while (*end == ',');
}

static int64_t parse_count(const char *text, const char *name)
{
    char *end = NULL;
    int64_t value = strtoll(text, &end, 10);

    if (*end != '\0' || value < 0) {
        fprintf(stderr, "--%s: not a number\n", name);
        exit(64);
    }
    return value;
}

static void parse(int argc, char **argv, struct options *options_out)
{
    static const struct option NAMES[] = {
        {"batches", required_argument, NULL, 'b'},
        {"measured", required_argument, NULL, 'm'},
        {"partitions", required_argument, NULL, 'p'},
        {"ledgers", required_argument, NULL, 'l'},
        {"folder", required_argument, NULL, 'f'},
        {"json", required_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    int found;

    *options_out = (struct options){.batches = 1000000,
                                    .measured = 2000,
                                    .partitions = {1, 12, 1000},
                                    .partition_count = 3,
                                    .ledgers = "fresh,kept,pruned"};
    while ((found = getopt_long(argc, argv, "", NAMES, NULL)) != -1) {
        switch (found) {
        case 'b':
            options_out->batches = parse_count(optarg, "batches");
            break;
        case 'm':
            options_out->measured = (int)parse_count(optarg, "measured");
            break;
        case 'p':
            parse_partitions(optarg, options_out);
            break;
        case 'l':
            options_out->ledgers = optarg;
            break;
        case 'f':
            options_out->folder = optarg;
            break;
        case 'j':
            options_out->json = optarg;
            break;
        default:
            exit(64);
        }
    }
}

static size_t measure_ledger(const struct options *options, const char *folder, const char *name,
                             struct figures *rows)
{
    struct books books;

    books_open(&books, folder, name, strcmp(name, "kept") == 0 ? KEEP_ALL : KEEP_DEFAULT);
    if (strcmp(name, "fresh") != 0) {
        fill(&books, options->batches);
    }
    for (size_t i = 0; i < options->partition_count && options->measured > 0; i++) {
        int measured = options->measured;

        if (options->partitions[i] > 100 && measured > MEASURED_OF_MANY_PARTITIONS) {
            measured = MEASURED_OF_MANY_PARTITIONS;
        }
        measure(&books, name, options->partitions[i], measured, &rows[i]);
        print_row(&rows[i]);
    }
    books_close(&books, options->folder == NULL);
    return options->measured > 0 ? options->partition_count : 0;
}

int main(int argc, char **argv)
{
    static const char *const LEDGERS[] = {"fresh", "kept", "pruned"};
    char made[] = "/tmp/oncesink-bench-XXXXXX";
    struct figures rows[3 * SIZES_MAX];
    struct options options;
    size_t count = 0;

    parse(argc, argv, &options);
    if (options.folder == NULL && mkdtemp(made) == NULL) {
        fail("cannot make a folder in /tmp");
    }
    shim_install();
    print_head();
    for (size_t i = 0; i < 3; i++) {
        if (strstr(options.ledgers, LEDGERS[i]) != NULL) {
            count += measure_ledger(&options, options.folder == NULL ? made : options.folder,
                                    LEDGERS[i], &rows[count]);
        }
    }
    if (options.folder == NULL) {
        rmdir(made);
    }
    if (options.json != NULL) {
        FILE *file = fopen(options.json, "w");

        if (file == NULL) {
            fail("cannot write the JSON file");
        }
        write_json(file, rows, count);
        fclose(file);
    }
    return 0;
}
