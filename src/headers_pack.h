/* A record's headers as one block of bytes, as schema/README.md lays them out: for each header u32
 * name size, name, i32 value size or −1 for null, value; big-endian. */
#ifndef HEADERS_PACK_H
#define HEADERS_PACK_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

/* NULL when the record has no headers; else of the caller's to free. */
void *headers_pack(const rd_kafka_message_t *message, size_t *size_out);

#endif
