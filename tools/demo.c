/* The demo: what Oncesink promises, shown in some 20 seconds without a Kafka.
 *
 *     feed a topic ─► run the service: 1 s batches, a cap ─► SIGKILL in mid-batch ─► start it again
 *          ─► stop it gracefully ─► compare input and output by our own reader ─► print the account
 *
 * The ledger and the service's log stay behind in a new directory under $TMPDIR. Exit code 0 when
 * every record arrived exactly once, unchanged and in order; else 1. */
#include "demo_feed.h"
#include "demo_reader.h"
#include "demo_service.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
    KILL_ABOVE_BATCH = 4,
    KILL_TRIES_MAX = 5,
    REQUESTS_BEFORE_KILL = 2, /* a batch needs at least one for each of the three partitions */
    WAIT_MS_MAX = 30000,
    EXIT_USAGE = 64,
};

struct demo {
    struct timespec began;
    struct demo_feed feed;
    struct demo_service service;
    int64_t killed_batch;
    int64_t killed_delivered; /* of its records, at the moment of the kill */
};

static int64_t elapsed_ms(const struct demo *demo)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)(now.tv_sec - demo->began.tv_sec) * 1000 +
           (now.tv_nsec - demo->began.tv_nsec) / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

/* A line of the story, with the seconds since the start. */
static void __attribute__((format(printf, 2, 3)))
tell(const struct demo *demo, const char *format, ...)
{
    va_list args;

    printf("  %5.1f s  ", (double)elapsed_ms(demo) / 1000);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* 1234567 → 1,234,567; one of a few texts in turn, so that several fit into one printf. */
static const char *grouped(int64_t number)
{
    static char texts[8][32];
    static unsigned turn;
    char digits[32];
    char *text = texts[turn++ % 8];
    char *at = text;
    int size = snprintf(digits, sizeof(digits), "%" PRId64, number);

    for (int i = 0; i < size; i++) {
        *at++ = digits[i];
        if (i + 1 < size && (size - i - 1) % 3 == 0 && digits[i] != '-') {
            *at++ = ',';
        }
    }
    *at = '\0';
    return text;
}

/* ── the story
 * ────────────────────────────────────────────────────────────────────────────────── */

/* Asks until the answer's first number is at least `least`. */
static void await(struct demo *demo, const char *sql, int64_t least, int64_t *numbers, int count,
                  const char *failure)
{
    int64_t deadline = elapsed_ms(demo) + WAIT_MS_MAX;

    while (!demo_service_ask(&demo->service, sql, numbers, count) || numbers[0] < least) {
        demo_service_check(&demo->service);
        if (elapsed_ms(demo) > deadline) {
            demo_service_failed(&demo->service, failure);
        }
        sleep_ms(1);
    }
}

/* Returns when a batch above `above` is planned and a part of it is on its way (or it is settled
 * already). */
static void await_mid_batch(struct demo *demo, int64_t above)
{
    int64_t batch;

    await(demo, "SELECT batch FROM in_doubt", above + 1, &batch, 1, "no batch is planned");
    demo_feed_watch(&demo->feed);
    while (demo_feed_watched(&demo->feed) < REQUESTS_BEFORE_KILL &&
           demo_service_ask(&demo->service, "SELECT batch FROM in_doubt", &batch, 1)) {
        sleep_ms(1);
    }
    demo_feed_unwatch(&demo->feed);
}

/* A batch may be settled at the very moment of the kill: then another one is tried. */
static void kill_in_mid_batch(struct demo *demo)
{
    int64_t above = KILL_ABOVE_BATCH;
    int64_t row[2];

    for (int i = 0; i < KILL_TRIES_MAX; i++) {
        await_mid_batch(demo, above);
        demo_service_end(&demo->service, SIGKILL);
        if (demo_service_ask(&demo->service, "SELECT batch, planned FROM in_doubt", row, 2)) {
            demo->killed_batch = row[0];
            tell(demo, "kill -9 in the middle of batch %" PRId64, row[0]);
            demo->killed_delivered = demo_count_batch(&demo->feed.topics, row[0]);
            printf("           of its %s records %s are in the output topic, none is settled\n",
                   grouped(row[1]), grouped(demo->killed_delivered));
            return;
        }
        tell(demo, "kill -9, but just between two batches: once more");
        demo_service_start(&demo->service);
        above += 2;
    }
    demo_give_up("none of %d kills hit a batch under way", KILL_TRIES_MAX);
}

static void await_recovery(struct demo *demo)
{
    int64_t row[3];
    char sql[160];

    snprintf(sql, sizeof(sql),
             "SELECT batch, found, outputs FROM batches WHERE batch = %" PRId64
             " AND state = 'settled'",
             demo->killed_batch);
    await(demo, sql, demo->killed_batch, row, 3, "the batch isn't finished");
    tell(demo, "batch %" PRId64 " is finished: %s records were found in the output, %s were sent",
         row[0], grouped(row[1]), grouped(row[2] - row[1]));
}

static void stop_gracefully(struct demo *demo)
{
    int status;

    demo_service_close_ledger(&demo->service); /* the last to close it tidies up: the service */
    status = demo_service_end(&demo->service, SIGTERM);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        demo_service_failed(&demo->service, "oncesinkd didn't stop in order");
    }
    tell(demo, "oncesinkd has ended, exit code 0");
}

static void run_story(struct demo *demo)
{
    int64_t relayed;

    tell(demo, "topic '%s', %d partitions: %s records at once, then %s a second",
         demo->feed.topics.input, DEMO_PARTITIONS, grouped(DEMO_BACKLOG * DEMO_PARTITIONS),
         grouped(DEMO_FEED_RATE * DEMO_PARTITIONS));
    demo_feed_begin(&demo->feed);
    demo_service_start(&demo->service);
    tell(demo, "oncesinkd runs: batches of 1 s, at most %s records a second and partition",
         grouped(DEMO_CAP));
    kill_in_mid_batch(demo);
    demo_service_start(&demo->service);
    tell(demo, "oncesinkd runs again");
    await_recovery(demo);
    demo_feed_join(&demo->feed);
    tell(demo, "no more records come: %s are in the input topic", grouped(demo->feed.fed));
    await(demo, "SELECT records FROM totals", demo->feed.fed, &relayed, 1,
          "not all records are relayed");
    tell(demo, "all are relayed: SIGTERM");
    stop_gracefully(demo);
}

/* ── the account
 * ──────────────────────────────────────────────────────────────────────────────── */

static void print_line(const char *name, int64_t number)
{
    printf("    %-24s%10s\n", name, grouped(number));
}

/* The batches around the killed one, as the ledger has them. */
static void print_batches(struct demo *demo)
{
    sqlite3_stmt *statement = demo_service_query(
        &demo->service, "SELECT batch, planned, records, found, limited_by, processing_ms, outcome "
                        "FROM batches WHERE abs(batch - ?1) <= 2 ORDER BY batch");

    printf("\n    batch   planned   records     found   limited by   processing   outcome\n");
    sqlite3_bind_int64(statement, 1, demo->killed_batch);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        printf("    %5s%10s%10s%10s   %-10s%10s ms   %s\n",
               grouped(sqlite3_column_int64(statement, 0)),
               grouped(sqlite3_column_int64(statement, 1)),
               grouped(sqlite3_column_int64(statement, 2)),
               grouped(sqlite3_column_int64(statement, 3)),
               (const char *)sqlite3_column_text(statement, 4),
               grouped(sqlite3_column_int64(statement, 5)),
               (const char *)sqlite3_column_text(statement, 6));
    }
    sqlite3_finalize(statement);
}

static bool is_as_promised(const struct demo *demo, const struct demo_account *account,
                           const int64_t totals[4])
{
    return account->in == demo->feed.fed && account->in > 0 && account->out == account->in &&
           account->missing == 0 && account->doubled == 0 && account->out_of_order == 0 &&
           account->changed == 0 && account->unexpected == 0 && totals[0] == account->in &&
           totals[2] > 0 && totals[3] == demo->killed_delivered;
}

/* Prints it; true when all is as promised. */
static bool print_account(struct demo *demo)
{
    struct demo_account account;
    int64_t totals[4] = {0};
    bool fine;

    demo_compare(&demo->feed.topics, &account);
    if (!demo_service_ask(&demo->service, "SELECT records, batches, recovered, found FROM totals",
                          totals, 4)) {
        demo_give_up("can't read the ledger in %s", demo->service.folder);
    }
    fine = is_as_promised(demo, &account, totals);
    printf("\n  Input and output, compared record by record by a plain consumer:\n\n");
    print_line("records in", account.in);
    print_line("records out", account.out);
    print_line("missing", account.missing);
    print_line("doubled", account.doubled);
    print_line("out of order", account.out_of_order);
    print_line("changed", account.changed);
    print_line("from nowhere", account.unexpected);
    printf("\n  What the ledger says:\n\n");
    print_line("records", totals[0]);
    print_line("batches", totals[1]);
    print_line("finished by recovery", totals[2]);
    print_line("found delivered by it", totals[3]);
    print_batches(demo);
    printf("\n  %s\n", fine ? "Every record arrived exactly once, unchanged and in order."
                            : "NOT as promised: see the figures above.");
    return fine;
}

static void print_way_on(const struct demo *demo)
{
    printf("\n  Look into the ledger (settings and log lie beside it):\n\n"
           "    sqlite3 -box %s/ledger.db 'SELECT * FROM batches LIMIT 10'\n"
           "    sqlite3 -box %s/ledger.db 'SELECT * FROM events'\n\n",
           demo->service.folder, demo->service.folder);
}

int main(int argc, char **argv)
{
    static struct demo demo;
    bool fine;

    if (argc > 1) {
        bool asked = strcmp(argv[1], "--help") == 0;

        fprintf(asked ? stdout : stderr,
                "usage: oncesink-demo\n"
                "Shows a kill and a recovery without a Kafka, in some 20 s; takes no options.\n");
        return asked ? 0 : EXIT_USAGE;
    }
    clock_gettime(CLOCK_MONOTONIC, &demo.began);
    demo_feed_open(&demo.feed);
    demo_service_init(&demo.service, &demo.feed.topics);
    printf("\n  Oncesink: from topic to topic, exactly once, through a kill -9\n"
           "  (Kafka is a mock inside this process; all files lie in %s)\n\n",
           demo.service.folder);
    run_story(&demo);
    fine = print_account(&demo);
    print_way_on(&demo);
    demo_service_close_ledger(&demo.service);
    demo_feed_close(&demo.feed);
    return fine ? 0 : 1;
}
