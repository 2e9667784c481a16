/* The partition of a record. Kafka's own hash comes from the client library, which carries it so
 * that C and Java producers agree. */
#include "route.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>

int32_t route_partition(enum partitioner partitioner, int32_t input_partition, const void *key,
                        size_t key_size, int32_t count)
{
    assert(count > 0);
    assert(input_partition >= 0);
    if (partitioner == PARTITIONER_KEY && key != NULL) {
        return rd_kafka_msg_partitioner_murmur2(NULL, key, key_size, count, NULL, NULL);
    }
    return input_partition % count;
}
