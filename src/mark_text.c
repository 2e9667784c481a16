/* The text of a mark, written and read. What is read is written again and compared, so that only
 * what we write is ours. */
#include "mark_text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const MODES[] = {
    [DELIVERY_IDEMPOTENT] = "idempotent",
    [DELIVERY_TRANSACTIONAL] = "transactional",
};
enum { MODE_COUNT = sizeof(MODES) / sizeof(MODES[0]) };

static bool is_hex(const char *text, size_t size)
{
    return strspn(text, "0123456789abcdef") >= size;
}

void mark_text_format(const struct mark_text *mark, char text[MARK_TEXT_SIZE])
{
    int written;

    assert(is_hex(mark->uuid, UUID_SIZE - 1) && is_hex(mark->incarnation, INCARNATION_SIZE - 1));
    assert(mark->batch >= 0 && mark->slice >= 0 && mark->slices >= 0);
    written =
        snprintf(text, MARK_TEXT_SIZE, "%s/%s/%s/%" PRId64 "/%" PRId64 "/%" PRId64, mark->uuid,
                 mark->incarnation, MODES[mark->delivery], mark->batch, mark->slice, mark->slices);
    assert(written > 0 && written < MARK_TEXT_SIZE);
    (void)written;
}

static bool take_hex(const char **at, char *out, size_t size)
{
    if (!is_hex(*at, size) || (*at)[size] != '/') {
        return false;
    }
    memcpy(out, *at, size);
    out[size] = '\0';
    *at += size + 1;
    return true;
}

static bool take_mode(const char **at, enum delivery *delivery_out)
{
    for (size_t i = 0; i < MODE_COUNT; i++) {
        size_t size = strlen(MODES[i]);

        if (strncmp(*at, MODES[i], size) == 0 && (*at)[size] == '/') {
            *delivery_out = (enum delivery)i;
            *at += size + 1;
            return true;
        }
    }
    return false;
}

static bool take_number(const char **at, char end, int64_t *number_out)
{
    char *after;

    if (**at < '0' || **at > '9') {
        return false;
    }
    errno = 0;
    *number_out = strtoll(*at, &after, 10);
    if (errno != 0 || *after != end) {
        return false;
    }
    *at = after + 1;
    return true;
}

bool mark_text_parse(const char *text, struct mark_text *mark_out)
{
    struct mark_text mark = {.batch = 0};
    char again[MARK_TEXT_SIZE];
    const char *at = text;

    if (text == NULL || !take_hex(&at, mark.uuid, UUID_SIZE - 1) ||
        !take_hex(&at, mark.incarnation, INCARNATION_SIZE - 1) || !take_mode(&at, &mark.delivery) ||
        !take_number(&at, '/', &mark.batch) || !take_number(&at, '/', &mark.slice) ||
        !take_number(&at, '\0', &mark.slices)) {
        return false;
    }
    mark_text_format(&mark, again);
    if (strcmp(text, again) != 0) {
        return false; /* a leading zero or the like: not ours */
    }
    *mark_out = mark;
    return true;
}
