/* What the service manager is told.
 *
 * The protocol is one datagram of NAME=VALUE lines to an AF_UNIX socket, a path or (with a leading
 * @) an abstract name. systemd documents it as stable and made for being spoken directly;
 * libsystemd would bring four more libraries into an idle process for it. */
#include "service_notify.h"

#include "log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TEXT_SIZE = SERVICE_STATUS_SIZE + 128,
    SIGNS_PER_LIMIT = 4, /* so many signs of life in the time that the manager allows for one */
    SIGN_MS_MAX = 5000,
    STATUS_MS = 1000,
};
static_assert(SERVICE_EXTEND_MS > 2 * SIGN_MS_MAX, "the time asked for outlasts a lost sign");

/* The manager's address; false when it is none that we can reach. */
static bool address(struct service *service, const char *name)
{
    size_t size = strlen(name);

    service->to.sun_family = AF_UNIX;
    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(service->to.sun_path)) {
        return false;
    }
    memcpy(service->to.sun_path, name, size + 1);
    service->to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    if (name[0] == '@') {
        service->to.sun_path[0] = '\0';
        service->to_size--; /* an abstract name has no end but its size */
    }
    return true;
}

static int64_t watchdog_wanted(void)
{
    const char *limit = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (limit == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid())) {
        return 0;
    }
    return strtoll(limit, NULL, 10) / 1000;
}

void service_open(struct service *service)
{
    const char *name = getenv("NOTIFY_SOCKET");

    *service = (struct service){.fd = -1, .alive_ms = -1, .status_ms = -1};
    if (name == NULL || name[0] == '\0') {
        return;
    }
    if (!address(service, name)) {
        log_warning("NOTIFY_SOCKET=%s is no socket that can be used: the service manager isn't "
                    "told anything",
                    name);
        return;
    }
    service->watchdog_ms = watchdog_wanted();
    service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (service->fd < 0) {
        log_warning("the service manager can't be told anything: %s", strerror(errno));
    }
}

void service_close(struct service *service)
{
    if (service->phase_owed || service->status_owed) {
        service->status_ms = -1;
        service_step(service, service->alive_ms);
    }
    if (service->to_size > 0 && service->fd >= 0) {
        close(service->fd);
    }
    *service = (struct service){.fd = -1};
}

static bool send_text(struct service *service, const char *text)
{
    ssize_t sent = sendto(service->fd, text, strlen(text), MSG_NOSIGNAL,
                          (const struct sockaddr *)&service->to, service->to_size);

    if (sent >= 0) {
        service->complained = false;
        return true;
    }
    if (errno != EAGAIN && errno != EINTR && !service->complained) {
        service->complained = true;
        log_warning("the service manager can't be told anything: %s; trying again",
                    strerror(errno));
    }
    return false;
}

static int64_t sign_every_ms(const struct service *service)
{
    int64_t every_ms = service->watchdog_ms / SIGNS_PER_LIMIT;

    return service->watchdog_ms > 0 && every_ms < SIGN_MS_MAX ? every_ms : SIGN_MS_MAX;
}

static const char *phase_text(const struct service *service)
{
    switch (service->phase) {
    case SERVICE_STARTING:
        return "";
    case SERVICE_RUNNING:
        return "READY=1\n";
    case SERVICE_STOPPING:
        return "STOPPING=1\n";
    }
    return "";
}

void service_step(struct service *service, int64_t now_ms)
{
    bool sign = service->alive_ms < 0 || now_ms - service->alive_ms >= sign_every_ms(service);
    bool status = service->status_owed &&
                  (service->status_ms < 0 || now_ms - service->status_ms >= STATUS_MS);
    char text[TEXT_SIZE];
    char extend[64] = "";

    if (service->fd < 0 || service->to_size == 0 || (!sign && !status && !service->phase_owed)) {
        return;
    }
    if (sign && service->phase != SERVICE_RUNNING) {
        snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%" PRId64 "\n",
                 (int64_t)SERVICE_EXTEND_MS * 1000);
    }
    snprintf(text, sizeof(text), "%s%s%s%s%s%s", service->phase_owed ? phase_text(service) : "",
             status ? "STATUS=" : "", status ? service->status : "", status ? "\n" : "",
             sign && service->watchdog_ms > 0 ? "WATCHDOG=1\n" : "", extend);
    if (text[0] != '\0' && !send_text(service, text)) {
        return;
    }
    service->phase_owed = false;
    if (sign) {
        service->alive_ms = now_ms;
    }
    if (status) {
        service->status_owed = false;
        service->status_ms = now_ms;
    }
}

static void enter(struct service *service, enum service_phase phase, int64_t now_ms)
{
    assert(phase > service->phase);
    service->phase = phase;
    service->phase_owed = true;
    service->alive_ms = -1;
    service->status_ms = -1;
    service_step(service, now_ms);
}

void service_ready(struct service *service, int64_t now_ms)
{
    enter(service, SERVICE_RUNNING, now_ms);
}

void service_stopping(struct service *service, int64_t now_ms)
{
    enter(service, SERVICE_STOPPING, now_ms);
}

void service_status(struct service *service, const char *text)
{
    char line[SERVICE_STATUS_SIZE];

    snprintf(line, sizeof(line), "%s", text);
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '\n') {
            *at = ' '; /* a line of its own would be another message */
        }
    }
    if (strcmp(line, service->status) != 0) {
        memcpy(service->status, line, sizeof(line));
        service->status_owed = true;
    }
}
