/* The demo's own view of the topics: a plain consumer that shares no code with the product, and the
 * account it draws up.
 *
 * Record number n of an input partition stands at offset n and says so in its value, {"order": n,
 * …}. Calls end the process with a message when the topics can't be read. Main thread. */
#ifndef DEMO_READER_H
#define DEMO_READER_H

#include <stdint.h>

struct demo_topics {
    const char *bootstrap;
    const char *input;
    const char *output;
    int32_t partitions; /* of each */
};

struct demo_account {
    int64_t in;
    int64_t out;
    int64_t missing;
    int64_t doubled;
    int64_t out_of_order;
    int64_t changed;    /* key, value, timestamp or headers differ */
    int64_t unexpected; /* no input record like it in that partition */
};

/* Compares what lies in the two topics, record by record. */
void demo_compare(const struct demo_topics *topics, struct demo_account *account_out);

/* How many output records carry this batch's number in their last header. */
int64_t demo_count_batch(const struct demo_topics *topics, int64_t batch);

/* Says what went wrong and ends the process with exit code 1. */
void demo_give_up(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
