/* Which output partition a record goes to: the same for the same record always (setting
 * output.partitioner). Pure; any thread. */
#ifndef ROUTE_H
#define ROUTE_H

#include "batch.h"

/* `same`, or a null key: input partition modulo count. `key`: Kafka's murmur2 of the key, as Java's
 * default for keyed records. key NULL = null key; an empty key is a key. count > 0. */
int32_t route_partition(enum partitioner partitioner, int32_t input_partition, const void *key,
                        size_t key_size, int32_t count);

#endif
