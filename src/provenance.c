/* The header's text. Writing runs once a record: what a source's records of one batch have in
 * common is put together once, and only two numbers follow it. Reading is strict: it accepts
 * exactly what writing makes, so that a stranger's header of the same name is never taken for
 * ours. */
#include "provenance.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    DIGITS_MAX = 20, /* of an int64_t, and one to spare */
    TEXT_MAX = 2 + PROVENANCE_JOB_SIZE + PROVENANCE_LEDGER_SIZE + INCARNATION_SIZE + DIGITS_MAX +
               TOPIC_NAME_MAX + 1 + 3 * DIGITS_MAX,
};
static_assert((int)TEXT_MAX <= (int)PROVENANCE_TEXT_SIZE, "the longest text fits");

#define VERSION "1"
static const char SEPARATOR = '/';

static bool is_hex(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* What Kafka takes as a topic's name. */
static bool is_topic(const char *text, size_t size)
{
    if (size == 0 || size > TOPIC_NAME_MAX || (size <= 2 && memcmp(text, "..", size) == 0)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

void provenance_job(const char *job_name, char job_out[PROVENANCE_JOB_SIZE])
{
    uLong sum = crc32(0L, (const Bytef *)job_name, (uInt)strlen(job_name));

    snprintf(job_out, PROVENANCE_JOB_SIZE, "%08lx", sum & 0xffffffffUL);
}

void provenance_prefix(const struct provenance *provenance, struct provenance_prefix *prefix_out)
{
    int size;

    assert(strlen(provenance->job) == PROVENANCE_JOB_SIZE - 1);
    assert(strlen(provenance->ledger) == PROVENANCE_LEDGER_SIZE - 1);
    assert(strlen(provenance->incarnation) == INCARNATION_SIZE - 1);
    assert(is_hex(provenance->job, PROVENANCE_JOB_SIZE - 1));
    assert(is_hex(provenance->ledger, PROVENANCE_LEDGER_SIZE - 1));
    assert(is_hex(provenance->incarnation, INCARNATION_SIZE - 1));
    assert(provenance->batch >= 1);
    assert(is_topic(provenance->topic, strlen(provenance->topic)));
    assert(provenance->partition >= 0);

    size = snprintf(prefix_out->text, sizeof(prefix_out->text), VERSION "/%s/%s/%s/%lld/%s/%d/",
                    provenance->job, provenance->ledger, provenance->incarnation,
                    (long long)provenance->batch, provenance->topic, provenance->partition);
    assert(size > 0);
    prefix_out->size = (size_t)size;
}

/* Returns where the number's text ends. */
static char *put_number(char *at, uint64_t number)
{
    char digits[DIGITS_MAX];
    char *first = digits + sizeof(digits);
    size_t size;

    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size = (size_t)(digits + sizeof(digits) - first);
    memcpy(at, first, size);
    return at + size;
}

size_t provenance_write(const struct provenance_prefix *prefix, int64_t offset, int32_t index,
                        char *text)
{
    char *at = text + prefix->size;

    assert(offset >= 0);
    assert(index >= 0);
    memcpy(text, prefix->text, prefix->size);
    at = put_number(at, (uint64_t)offset);
    *at++ = SEPARATOR;
    at = put_number(at, (uint64_t)index);
    return (size_t)(at - text);
}

/* What of a text isn't read yet. */
struct rest {
    const char *at;
    const char *end;
};

/* The text up to the next separator, which is passed over, or up to the end for the `last`
 * field. */
static bool take_field(struct rest *rest, bool last, const char **field_out, size_t *size_out)
{
    size_t left = (size_t)(rest->end - rest->at);
    const char *separator = left > 0 ? memchr(rest->at, SEPARATOR, left) : NULL;

    if ((separator == NULL) != last) {
        return false;
    }
    *field_out = rest->at;
    *size_out = last ? left : (size_t)(separator - rest->at);
    rest->at = last ? rest->end : separator + 1;
    return true;
}

/* Exactly size_of_text − 1 hex digits. */
static bool take_hex(struct rest *rest, char *text, size_t size_of_text)
{
    const char *field;
    size_t size;

    if (!take_field(rest, false, &field, &size) || size != size_of_text - 1 ||
        !is_hex(field, size)) {
        return false;
    }
    memcpy(text, field, size);
    text[size] = '\0';
    return true;
}

/* Digits without a needless zero before them, from `min` up to `max`. */
static bool take_number(struct rest *rest, bool last, int64_t min, int64_t max, int64_t *number_out)
{
    const char *field;
    size_t size;
    int64_t number = 0;

    if (!take_field(rest, last, &field, &size) || size == 0 || (size > 1 && field[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (field[i] < '0' || field[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, field[i] - '0', &number)) {
            return false;
        }
    }
    *number_out = number;
    return number >= min && number <= max;
}

bool provenance_read(const void *text, size_t size, struct provenance *provenance_out)
{
    struct provenance found = {0};
    struct rest rest;
    const char *field;
    size_t field_size;
    int64_t partition;
    int64_t index;

    if (text == NULL || size > PROVENANCE_TEXT_SIZE) {
        return false;
    }
    rest = (struct rest){.at = text, .end = (const char *)text + size};
    if (!take_field(&rest, false, &field, &field_size) || field_size != strlen(VERSION) ||
        memcmp(field, VERSION, field_size) != 0) {
        return false;
    }
    if (!take_hex(&rest, found.job, sizeof(found.job)) ||
        !take_hex(&rest, found.ledger, sizeof(found.ledger)) ||
        !take_hex(&rest, found.incarnation, sizeof(found.incarnation)) ||
        !take_number(&rest, false, 1, INT64_MAX, &found.batch)) {
        return false;
    }
    if (!take_field(&rest, false, &field, &field_size) || !is_topic(field, field_size)) {
        return false;
    }
    memcpy(found.topic, field, field_size);
    if (!take_number(&rest, false, 0, INT32_MAX, &partition) ||
        !take_number(&rest, false, 0, INT64_MAX, &found.offset) ||
        !take_number(&rest, true, 0, INT32_MAX, &index)) {
        return false;
    }
    found.partition = (int32_t)partition;
    found.index = (int32_t)index;
    *provenance_out = found;
    return true;
}
