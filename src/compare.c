/* Two records, byte for byte. */
#include "compare.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool same_headers(const rd_kafka_headers_t *a, const rd_kafka_headers_t *b)
{
    size_t count = a == NULL ? 0 : rd_kafka_header_cnt(a);

    if (count != (b == NULL ? 0 : rd_kafka_header_cnt(b))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *a_name = NULL;
        const char *b_name = NULL;
        const void *a_value = NULL;
        const void *b_value = NULL;
        size_t a_size = 0;
        size_t b_size = 0;

        if (rd_kafka_header_get_all(a, i, &a_name, &a_value, &a_size) !=
                RD_KAFKA_RESP_ERR_NO_ERROR ||
            rd_kafka_header_get_all(b, i, &b_name, &b_value, &b_size) !=
                RD_KAFKA_RESP_ERR_NO_ERROR ||
            strcmp(a_name, b_name) != 0 || !same_bytes(a_value, a_size, b_value, b_size)) {
            return false;
        }
    }
    return true;
}

enum compare_result compare_records(const struct compare_record *a, const struct compare_record *b)
{
    if (!same_bytes(a->key, a->key_size, b->key, b->key_size)) {
        return COMPARE_KEY;
    }
    if (!same_bytes(a->value, a->value_size, b->value, b->value_size)) {
        return COMPARE_VALUE;
    }
    return same_headers(a->headers, b->headers) ? COMPARE_SAME : COMPARE_HEADERS;
}

const char *compare_word(enum compare_result difference)
{
    static const char *const WORDS[] = {
        [COMPARE_KEY] = "key", [COMPARE_VALUE] = "value", [COMPARE_HEADERS] = "headers"};

    assert(difference != COMPARE_SAME);
    return WORDS[difference];
}

void compare_parts(const rd_kafka_message_t *message, struct compare_record *record_out)
{
    rd_kafka_headers_t *headers = NULL;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = NULL;
    }
    *record_out = (struct compare_record){
        .key = message->key,
        .key_size = message->key_len,
        .value = message->payload,
        .value_size = message->len,
        .headers = headers,
    };
}
