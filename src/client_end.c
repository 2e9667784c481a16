/* Handles that end on the side: a list of threads, joined when they are through. */
#include "client_end.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "watchdog.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { END_MS_MAX = 30000 };

struct ending {
    struct ending *next;
    rd_kafka_t *client;
    pthread_t thread;
};

static struct ending *endings;

static void *end(void *arg)
{
    struct ending *ending = arg;

    rd_kafka_destroy_flags(ending->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

/* Signals are for the main thread alone. */
static int start_thread(struct ending *ending)
{
    sigset_t all;
    sigset_t before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&ending->thread, NULL, end, ending);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

void client_end(rd_kafka_t *client)
{
    struct ending *ending;
    int failed;

    if (client == NULL) {
        return;
    }
    ending = mem_zero(sizeof(*ending));
    ending->client = client;
    failed = start_thread(ending);
    if (failed != 0) {
        log_warning("no thread to end a client with: %s; ending it here", strerror(failed));
        free(ending);
        client_free(client, "ending a client");
        return;
    }
    ending->next = endings;
    endings = ending;
}

size_t client_ending(void)
{
    size_t count = 0;

    for (struct ending **at = &endings; *at != NULL;) {
        struct ending *ending = *at;

        if (pthread_tryjoin_np(ending->thread, NULL) == 0) {
            *at = ending->next;
            free(ending);
        } else {
            at = &ending->next;
            count++;
        }
    }
    return count;
}

void client_end_wait(void)
{
    if (endings == NULL) {
        return;
    }
    watchdog_arm("ending clients", END_MS_MAX);
    while (endings != NULL) {
        struct ending *ending = endings;
        int failed = pthread_join(ending->thread, NULL);

        assert(failed == 0);
        (void)failed;
        endings = ending->next;
        free(ending);
    }
    watchdog_disarm();
}
