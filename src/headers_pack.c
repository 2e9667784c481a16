/* A record's headers as one block of bytes. */
#include "headers_pack.h"

#include "mem.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static uint8_t *put(uint8_t *block, size_t *size, uint32_t number, const void *bytes, size_t count)
{
    uint32_t big = htonl(number);

    block = mem_grow(block, *size + sizeof(big) + count, 1);
    memcpy(block + *size, &big, sizeof(big));
    if (count > 0) {
        memcpy(block + *size + sizeof(big), bytes, count);
    }
    *size += sizeof(big) + count;
    return block;
}

void *headers_pack(const rd_kafka_message_t *message, size_t *size_out)
{
    rd_kafka_headers_t *headers;
    uint8_t *block = NULL;
    const char *name;
    const void *value;
    size_t value_size;

    *size_out = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return NULL;
    }
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &value_size) ==
                       RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        block = put(block, size_out, (uint32_t)strlen(name), name, strlen(name));
        if (value == NULL) {
            block = put(block, size_out, UINT32_MAX, NULL, 0);
        } else {
            block = put(block, size_out, (uint32_t)value_size, value, value_size);
        }
    }
    return block;
}
