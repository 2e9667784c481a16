/* The whole program against a cluster that answers oddly: errors of each kind of request,
 * connections that break, brokers that go, leaders that move. Every input record must be in the
 * output once, in its order, by a reader of our own.
 *
 * The mock doesn't recognise a request that is sent again, so what was executed must have been
 * answered: the answers that get lost are tested against a real broker (tests/broker). */
#include "support_mock.h"

#include "mem.h"
#include "wait.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BROKERS = 3,
    PARTITIONS = 3,
    FIRST = 400,  /* records of a partition before the trouble */
    SECOND = 400, /* and after it has begun */
    PATH_SIZE = 300,
    RELAY_MS_MAX = 60000,
    END_MS_MAX = 40000,
    READ_MS_MAX = 20000,
    ANSWER_MS = 5000,
    ERRORS_MAX = 6,
    PRODUCE = 0,
    FETCH = 1,
    LIST_OFFSETS = 2,
    OFFSET_COMMIT = 8,
    OFFSET_FETCH = 9,
    FIND_COORDINATOR = 10,
    INIT_PRODUCER_ID = 22,
    LEADER_EPOCH = 23,
};

struct run {
    struct mock *mock;
    char folder[PATH_SIZE];
    char log[PATH_SIZE];
    pid_t pid;
    const char *trouble;  /* what is tried now */
    const char *settings; /* more of them */
};

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- the service ---- */

static void write_settings(const struct run *run, const char *file)
{
    FILE *out = fopen(file, "we");

    assert_non_null(out);
    fprintf(out,
            "job.name = transport\nbootstrap.servers = %s\ninput.topics = in\noutput.topic = out\n"
            "ledger.path = %s/ledger.db\nbatch.interval.ms = 50\n"
            "recovery.settle.ms = 200\nconsumer.fetch.wait.max.ms = 10\non.bad.record = set-aside\n"
            "error.topic = bad\n%s\n",
            rd_kafka_mock_cluster_bootstraps(run->mock->cluster), run->folder, run->settings);
    assert_int_equal(fclose(out), 0);
}

static void start(struct run *run)
{
    const char *program = getenv("ONCESINKD");
    char file[PATH_SIZE + 16];

    assert_non_null(program);
    snprintf(file, sizeof(file), "%s/conf", run->folder);
    write_settings(run, file);
    run->pid = fork();
    if (run->pid == 0) {
        int log = open(run->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(log, STDERR_FILENO);
        execl(program, program, file, (char *)NULL);
        _exit(127);
    }
    assert_true(run->pid > 0);
}

static void show_log(const struct run *run)
{
    FILE *log = fopen(run->log, "re");
    char line[1024];

    while (log != NULL && fgets(line, sizeof(line), log) != NULL) {
        fputs(line, stderr);
    }
    if (log != NULL) {
        fclose(log);
    }
}

/* Its exit code. A service that doesn't end is killed, and the test fails. */
static int end(struct run *run, int with_signal)
{
    int64_t until_ms = wait_now_ms() + END_MS_MAX;
    int status = 0;

    if (with_signal != 0) {
        kill(run->pid, with_signal);
    }
    while (waitpid(run->pid, &status, WNOHANG) == 0) {
        if (wait_now_ms() > until_ms) {
            kill(run->pid, SIGKILL);
            waitpid(run->pid, &status, 0);
            show_log(run);
            fail_msg("it doesn't end");
        }
        sleep_ms(5);
    }
    run->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- the reader ---- */

static int64_t ends_of_out(struct mock *mock)
{
    int64_t sum = 0;

    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t low = 0;
        int64_t high = 0;

        if (rd_kafka_query_watermark_offsets(mock->feeder, "out", p, &low, &high, ANSWER_MS) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            sum += high;
        }
    }
    return sum;
}

static void await_relayed(struct run *run, int64_t count)
{
    int64_t until_ms = wait_now_ms() + RELAY_MS_MAX;

    while (ends_of_out(run->mock) < count) {
        int status;

        if (waitpid(run->pid, &status, WNOHANG) != 0 || wait_now_ms() > until_ms) {
            show_log(run);
            fail_msg("%s: %d of %d records", run->trouble, (int)ends_of_out(run->mock), (int)count);
        }
        sleep_ms(10);
    }
}

/* The values "0", "1", … in each partition, and nothing else. */
static void assert_exactly_once(struct run *run, int count)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(run->mock->feeder, "out", NULL);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    int64_t until_ms = wait_now_ms() + READ_MS_MAX;
    int next[PARTITIONS] = {0};
    int left = (int)ends_of_out(run->mock);
    char text[256];
    rd_kafka_t *reader;

    rd_kafka_topic_destroy(topic);
    rd_kafka_conf_set(conf, "bootstrap.servers",
                      rd_kafka_mock_cluster_bootstraps(run->mock->cluster), text, sizeof(text));
    rd_kafka_conf_set(conf, "group.id", "reader", text, sizeof(text));
    rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", text, sizeof(text));
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
    reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    assert_non_null(reader);
    rd_kafka_poll_set_consumer(reader);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rd_kafka_topic_partition_list_add(all, "out", p)->offset = 0;
    }
    assert_int_equal(rd_kafka_assign(reader, all), 0);
    rd_kafka_topic_partition_list_destroy(all);
    while (left > 0 && wait_now_ms() < until_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);

        if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            int size = snprintf(text, sizeof(text), "%d", next[message->partition]++);

            if ((size_t)size != message->len || memcmp(text, message->payload, message->len) != 0) {
                show_log(run);
                fail_msg("out[%d] offset %d is '%.*s', not '%s'", (int)message->partition,
                         (int)message->offset, (int)message->len, (char *)message->payload, text);
            }
            left--;
        }
        if (message != NULL) {
            rd_kafka_message_destroy(message);
        }
    }
    rd_kafka_destroy(reader);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(next[p], count);
    }
}

/* ---- fixture ---- */

static int set_up(void **state)
{
    struct run *run = mem_zero(sizeof(*run));
    const char *folder = getenv("TMPDIR");

    run->trouble = "no trouble";
    run->settings = "batch.max.records = 500";
    run->mock = mock_new(BROKERS);
    mock_topic(run->mock, "in", PARTITIONS);
    mock_topic(run->mock, "out", PARTITIONS);
    mock_topic(run->mock, "bad", 1);
    snprintf(run->folder, sizeof(run->folder), "%s/oncesink-transport-XXXXXX",
             folder == NULL ? "/tmp" : folder);
    assert_non_null(mkdtemp(run->folder));
    snprintf(run->log, sizeof(run->log), "%.280s/log", run->folder);
    *state = run;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const FILES[] = {"conf",          "log",           "ledger.db",
                                        "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"};
    struct run *run = *state;

    if (run->pid > 0) {
        kill(run->pid, SIGKILL);
        waitpid(run->pid, NULL, 0);
    }
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        char file[PATH_SIZE + 16];

        snprintf(file, sizeof(file), "%s/%s", run->folder, FILES[i]);
        unlink(file);
    }
    rmdir(run->folder);
    mock_free(run->mock);
    free(run);
    return 0;
}

static void feed(struct run *run, int first, int count)
{
    for (int32_t p = 0; p < PARTITIONS; p++) {
        mock_feed(run->mock, "in", p, first, count);
    }
}

/* The service stands still while it is fed and something is prepared for it, which would else
 * happen to the feeder. */
static void feed_still(struct run *run, int first, int count)
{
    kill(run->pid, SIGSTOP);
    feed(run, first, count);
}

static void go_on(struct run *run)
{
    kill(run->pid, SIGCONT);
}

static void begin(struct run *run)
{
    feed(run, 0, FIRST);
    start(run);
    await_relayed(run, 1);
}

static void finish(struct run *run)
{
    await_relayed(run, (int64_t)PARTITIONS * (FIRST + SECOND));
    assert_int_equal(end(run, SIGTERM), 0);
    assert_exactly_once(run, FIRST + SECOND);
}

/* ---- tests ---- */

struct trouble {
    const char *name;
    int16_t request;
    rd_kafka_resp_err_t errors[ERRORS_MAX]; /* one after another; 0 = the rest isn't used */
};

static const struct trouble TROUBLES[] = {
    {"leaders that are others by now",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
      RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE}},
    {"requests that time out at the broker",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
      RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION}},
    {"too few replicas",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND}},
    {"connections that break",
     PRODUCE,
     {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"a producer that the broker has forgotten",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID}},
    {"a sequence that is out of order", PRODUCE, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER}},
    {"'duplicates' that are not there",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER}},
    {"an epoch that is not ours", PRODUCE, {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH}},
    {"a damaged request", PRODUCE, {RD_KAFKA_RESP_ERR_INVALID_MSG}},
    {"a request refused for size that is fine in pieces",
     PRODUCE,
     {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE}},
    {"an error without a name", PRODUCE, {RD_KAFKA_RESP_ERR_UNKNOWN}},
    {"offsets out of range for a moment",
     FETCH,
     {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE}},
    {"fetches from others than the leader",
     FETCH,
     {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
      RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE}},
    {"fetches whose connection breaks",
     FETCH,
     {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"ends that nobody knows yet",
     LIST_OFFSETS,
     {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"marks that can't be written yet",
     OFFSET_COMMIT,
     {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"marks that can't be read yet",
     OFFSET_FETCH,
     {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
      RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"no coordinator",
     FIND_COORDINATOR,
     {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"no producer ids",
     INIT_PRODUCER_ID,
     {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR__TRANSPORT}},
    {"leader epochs that can't be asked",
     LEADER_EPOCH,
     {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, RD_KAFKA_RESP_ERR__TRANSPORT}},
};

static void push(struct run *run, const struct trouble *trouble)
{
    run->trouble = trouble->name;
    for (size_t i = 0; i < ERRORS_MAX && trouble->errors[i] != RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        rd_kafka_mock_push_request_errors_array(run->mock->cluster, trouble->request, 1,
                                                &trouble->errors[i]);
    }
}

static void odd_answers_lose_and_double_nothing(void **state)
{
    struct run *run = *state;
    int fed = FIRST;

    begin(run);
    for (size_t i = 0; i < sizeof(TROUBLES) / sizeof(TROUBLES[0]); i++) {
        feed_still(run, fed, SECOND);
        push(run, &TROUBLES[i]);
        go_on(run);
        fed += SECOND;
        await_relayed(run, (int64_t)PARTITIONS * fed);
        rd_kafka_mock_clear_request_errors(run->mock->cluster, TROUBLES[i].request);
    }
    assert_int_equal(end(run, SIGTERM), 0);
    assert_exactly_once(run, fed);
}

/* In the middle of ranges, with a part of each handed out. */
static void a_range_goes_on_behind_what_it_has_after_an_offset_out_of_range(void **state)
{
    static const rd_kafka_resp_err_t FETCHES[] = {0,
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                                  RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE};
    enum { PIECE = 50 };
    struct run *run = *state;

    run->settings = "consumer.fetch.message.max.bytes = 500";
    begin(run);
    await_relayed(run, (int64_t)PARTITIONS * FIRST);
    kill(run->pid, SIGSTOP);
    for (int piece = 0; piece < SECOND / PIECE; piece++) {
        feed(run, FIRST + piece * PIECE, PIECE);
    }
    rd_kafka_mock_push_request_errors_array(run->mock->cluster, FETCH,
                                            sizeof(FETCHES) / sizeof(FETCHES[0]), FETCHES);
    go_on(run);
    finish(run);
}

static void a_kill_among_odd_answers_loses_and_doubles_nothing(void **state)
{
    struct run *run = *state;
    int fed = FIRST;

    feed(run, 0, FIRST);
    start(run);
    await_relayed(run, 1);
    for (size_t i = 0; i < sizeof(TROUBLES) / sizeof(TROUBLES[0]); i += 4) {
        feed(run, fed, SECOND);
        fed += SECOND;
        sleep_ms(30 + 17 * (long)i);
        end(run, SIGKILL);
        push(run, &TROUBLES[i]);
        start(run);
        await_relayed(run, (int64_t)PARTITIONS * fed);
        rd_kafka_mock_clear_request_errors(run->mock->cluster, TROUBLES[i].request);
    }
    assert_int_equal(end(run, SIGTERM), 0);
    assert_exactly_once(run, fed);
}

static void brokers_that_go_and_leaders_that_move_change_nothing(void **state)
{
    struct run *run = *state;
    int fed = FIRST;

    begin(run);
    for (int32_t broker = 1; broker < BROKERS; broker++) {
        feed_still(run, fed, SECOND);
        fed += SECOND;
        go_on(run);
        sleep_ms(20);
        rd_kafka_mock_broker_set_down(run->mock->cluster, broker);
        for (int32_t p = 0; p < PARTITIONS; p++) {
            rd_kafka_mock_partition_set_leader(run->mock->cluster, "out", p, broker % BROKERS + 1);
            rd_kafka_mock_partition_set_leader(run->mock->cluster, "in", p, broker % BROKERS + 1);
        }
        sleep_ms(500);
        rd_kafka_mock_broker_set_up(run->mock->cluster, broker);
        await_relayed(run, (int64_t)PARTITIONS * fed);
    }
    assert_int_equal(end(run, SIGTERM), 0);
    assert_exactly_once(run, fed);
}

static void a_topic_that_is_unknown_for_a_moment_ends_nothing(void **state)
{
    struct run *run = *state;

    begin(run);
    rd_kafka_mock_topic_set_error(run->mock->cluster, "out",
                                  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    feed(run, FIRST, SECOND);
    sleep_ms(6000); /* partitions are counted every 5 s */
    rd_kafka_mock_topic_set_error(run->mock->cluster, "out", RD_KAFKA_RESP_ERR_NO_ERROR);
    finish(run);
}

static void a_missing_permission_ends_it(void **state)
{
    struct run *run = *state;
    static const struct trouble FORBIDDEN = {"",
                                             PRODUCE,
                                             {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                              RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED}};

    begin(run);
    await_relayed(run, (int64_t)PARTITIONS * FIRST);
    feed_still(run, FIRST, SECOND);
    push(run, &FORBIDDEN);
    go_on(run);
    assert_int_equal(end(run, 0), 77);
    rd_kafka_mock_clear_request_errors(run->mock->cluster, PRODUCE);
    start(run);
    finish(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(odd_answers_lose_and_double_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_range_goes_on_behind_what_it_has_after_an_offset_out_of_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kill_among_odd_answers_loses_and_doubles_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(brokers_that_go_and_leaders_that_move_change_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_that_is_unknown_for_a_moment_ends_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_missing_permission_ends_it, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
