/* Ends client handles on the side, each in a thread of its own.
 *
 * Destroying a handle waits for its threads; one that looks up a host's name, or stands in a
 * connection to a broker that hangs, lets it wait, and the loop with it. Here the loop goes on.
 * Every queue, topic, list and message taken from the handle must be gone. Main thread. */
#ifndef CLIENT_END_H
#define CLIENT_END_H

#include <librdkafka/rdkafka.h>

#include <stddef.h>

/* Takes the handle over; accepts NULL. */
void client_end(rd_kafka_t *client);

/* How many are still ending. */
size_t client_ending(void);

/* Waits for all of them, under the watchdog: before the process ends. */
void client_end_wait(void);

#endif
