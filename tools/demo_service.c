/* A child process that dies with this one, its log in a file, and a read-only connection to its
 * ledger. */
#include "demo_service.h"

#include <errno.h>
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
    FILE_BYTES_MAX = DEMO_PATH_BYTES_MAX + 32,
    END_POLL_MS = 2,
    END_MS_MAX = 30000,
    BUSY_MS = 1000,
};

static void file_in_folder(const struct demo_service *service, const char *name,
                           char path_out[FILE_BYTES_MAX])
{
    snprintf(path_out, FILE_BYTES_MAX, "%s/%s", service->folder, name);
}

static void find_program(struct demo_service *service)
{
    char self[DEMO_PATH_BYTES_MAX - 16];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (size <= 0) {
        demo_give_up("can't find oncesinkd: %s", strerror(errno));
    }
    self[size] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(service->program, sizeof(service->program), "%s/oncesinkd", self);
    if (access(service->program, X_OK) != 0) {
        demo_give_up("%s: %s", service->program, strerror(errno));
    }
}

static void make_folder(struct demo_service *service)
{
    const char *base = getenv("TMPDIR");

    snprintf(service->folder, sizeof(service->folder), "%s/oncesink-demo-XXXXXX",
             base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(service->folder) == NULL) {
        demo_give_up("can't make %s: %s", service->folder, strerror(errno));
    }
}

void demo_service_init(struct demo_service *service, const struct demo_topics *topics)
{
    char path[FILE_BYTES_MAX];
    FILE *file;

    *service = (struct demo_service){0};
    find_program(service);
    make_folder(service);
    file_in_folder(service, "oncesink.conf", path);
    file = fopen(path, "w");
    if (file == NULL) {
        demo_give_up("can't write %s: %s", path, strerror(errno));
    }
    fprintf(file,
            "job.name = demo\n"
            "ledger.path = %s/ledger.db\n"
            "bootstrap.servers = %s\n"
            "input.topics = %s\n"
            "output.topic = %s\n"
            "batch.interval.ms = 1000\n"
            "rate.max.per.partition = %d\n"
            "\n"
            "# The mock cluster tells of new records only when a fetch has waited its time.\n"
            "consumer.fetch.wait.max.ms = 20\n",
            service->folder, topics->bootstrap, topics->input, topics->output, DEMO_CAP);
    if (fclose(file) != 0) {
        demo_give_up("can't write %s: %s", path, strerror(errno));
    }
}

/* In the child, of a process with threads: nothing but system calls until exec. */
static _Noreturn void become_service(char *const *argv, int log)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

void demo_service_start(struct demo_service *service)
{
    char settings[FILE_BYTES_MAX];
    char path[FILE_BYTES_MAX];
    char *const argv[] = {service->program, settings, NULL};
    int log;

    file_in_folder(service, "oncesink.conf", settings);
    file_in_folder(service, "oncesinkd.log", path);
    log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
        demo_give_up("can't write %s: %s", path, strerror(errno));
    }
    service->pid = fork();
    if (service->pid == 0) {
        become_service(argv, log);
    }
    close(log);
    if (service->pid < 0) {
        demo_give_up("can't start a process: %s", strerror(errno));
    }
}

int demo_service_end(struct demo_service *service, int signal_number)
{
    const struct timespec pause = {.tv_nsec = END_POLL_MS * 1000000};
    int status;

    kill(service->pid, signal_number);
    for (int polls = 0; waitpid(service->pid, &status, WNOHANG) == 0; polls++) {
        if (polls > END_MS_MAX / END_POLL_MS) {
            demo_service_failed(service, "oncesinkd doesn't end");
        }
        nanosleep(&pause, NULL);
    }
    service->pid = 0;
    return status;
}

void demo_service_check(struct demo_service *service)
{
    int status;

    if (waitpid(service->pid, &status, WNOHANG) != 0) {
        demo_service_failed(service, "oncesinkd ended by itself");
    }
}

void demo_service_failed(const struct demo_service *service, const char *what)
{
    demo_give_up("%s; its log: %s/oncesinkd.log", what, service->folder);
}

static bool open_ledger(struct demo_service *service)
{
    char path[FILE_BYTES_MAX];

    if (service->ledger != NULL) {
        return true;
    }
    file_in_folder(service, "ledger.db", path);
    if (sqlite3_open_v2(path, &service->ledger, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        demo_service_close_ledger(service);
        return false;
    }
    sqlite3_busy_timeout(service->ledger, BUSY_MS);
    return true;
}

bool demo_service_ask(struct demo_service *service, const char *sql, int64_t *numbers, int count)
{
    sqlite3_stmt *statement = NULL;
    bool found = open_ledger(service) &&
                 sqlite3_prepare_v2(service->ledger, sql, -1, &statement, NULL) == SQLITE_OK &&
                 sqlite3_step(statement) == SQLITE_ROW;

    for (int i = 0; found && i < count; i++) {
        numbers[i] = sqlite3_column_int64(statement, i);
    }
    sqlite3_finalize(statement);
    return found;
}

sqlite3_stmt *demo_service_query(struct demo_service *service, const char *sql)
{
    sqlite3_stmt *statement;

    if (!open_ledger(service) ||
        sqlite3_prepare_v2(service->ledger, sql, -1, &statement, NULL) != SQLITE_OK) {
        demo_give_up("can't read the ledger in %s", service->folder);
    }
    return statement;
}

void demo_service_close_ledger(struct demo_service *service)
{
    sqlite3_close(service->ledger);
    service->ledger = NULL;
}
