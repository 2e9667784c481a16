/* Two records, byte for byte: key, value and headers in their order. Timestamps are not looked at
 * (LogAppendTime changes them). Null is not empty, in keys, values and header values alike. Pure
 * but for librdkafka's header calls; any thread. */
#ifndef COMPARE_H
#define COMPARE_H

#include <librdkafka/rdkafka.h>

struct compare_record {
    const void *key; /* NULL = null key */
    size_t key_size;
    const void *value; /* NULL = null value */
    size_t value_size;
    const rd_kafka_headers_t *headers; /* NULL = none, the same as an empty list */
};

enum compare_result { COMPARE_SAME, COMPARE_KEY, COMPARE_VALUE, COMPARE_HEADERS };

/* What differs first, in the order of the enum. */
enum compare_result compare_records(const struct compare_record *a, const struct compare_record *b);

/* "key", "value", "headers": for messages; of a difference only. */
const char *compare_word(enum compare_result difference);

/* The parts of a message, borrowed from it. */
void compare_parts(const rd_kafka_message_t *message, struct compare_record *record_out);

#endif
