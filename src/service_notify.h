/* What the service manager is told (systemd's sd_notify protocol): ready, status, stopping, and
 * that the main loop still turns.
 *
 *     service_open → starting ─service_ready→ running ─service_stopping→ stopping → service_close
 *
 * service_step is called by every turn of the main loop and by nothing else: a loop that hangs says
 * nothing, and the manager's watchdog ends the process. While starting and stopping each such sign
 * of life asks for more time too, so that a start or a stop that makes progress isn't cut off.
 *
 * Nothing here waits or fails: what the manager can't take now is sent by a later step. Without
 * NOTIFY_SOCKET in the environment nothing is sent. Main thread. */
#ifndef SERVICE_NOTIFY_H
#define SERVICE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SERVICE_STATUS_SIZE = 256, SERVICE_EXTEND_MS = 60000 };

enum service_phase { SERVICE_STARTING, SERVICE_RUNNING, SERVICE_STOPPING };

struct service {
    int fd; /* −1: nobody asked to be told */
    struct sockaddr_un to;
    socklen_t to_size;
    enum service_phase phase;
    int64_t watchdog_ms; /* the manager wants a sign of life so often; 0 = it doesn't */
    int64_t alive_ms;    /* when the last one was given; −1 = never */
    int64_t status_ms;   /* when the status was last sent; −1 = never */
    bool phase_owed;     /* READY or STOPPING isn't sent yet */
    bool status_owed;
    bool complained;
    char status[SERVICE_STATUS_SIZE];
};

/* From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. A socket that can't be used is a warning. */
void service_open(struct service *service);
void service_close(struct service *service); /* accepts a zeroed struct that was never opened */

/* Each tries to send at once. service_stopping may follow service_open directly. */
void service_ready(struct service *service, int64_t now_ms);
void service_stopping(struct service *service, int64_t now_ms);

/* One line for people; sent with the next step when it is news, once a second at most. */
void service_status(struct service *service, const char *text);

/* A turn of the main loop. `now_ms`: CLOCK_MONOTONIC. Cheap when nothing is due. */
void service_step(struct service *service, int64_t now_ms);

#endif
