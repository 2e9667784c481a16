/* Lists in settings. A list is cut at its commas; each piece is trimmed and read by itself. */
#include "config_list.h"

#include "config_value.h"
#include "mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CAPS_MAX = 100000 };

bool config_topic_is_valid(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > TOPIC_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* The text up to the next comma, without the spaces around it, of the caller's; NULL at the end of
 * the list. */
static char *take_piece(const char **at)
{
    const char *begin = *at;
    const char *end;

    if (begin == NULL) {
        return NULL;
    }
    end = strchrnul(begin, ',');
    *at = *end == ',' ? end + 1 : NULL;
    while (begin < end && isspace((unsigned char)*begin)) {
        begin++;
    }
    while (end > begin && isspace((unsigned char)end[-1])) {
        end--;
    }
    return mem_print("%.*s", (int)(end - begin), begin);
}

void config_list_deinit(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct config_list){0};
}

static bool list_has(const struct config_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool config_list_read(const char *text, struct config_list *list, struct err *err)
{
    struct config_list read = {0};
    const char *at = text;
    char *name;

    while ((name = take_piece(&at)) != NULL) {
        const char *fault =
            !config_topic_is_valid(name)
                ? "isn't a topic's name (letters, digits, '.', '_', '-', at most 249 bytes)"
            : list_has(&read, name)    ? "stands in the list twice"
            : read.count == TOPICS_MAX ? "is one topic too many; a job has 1000 at most"
                                       : NULL;

        if (fault != NULL) {
            char shown[CONFIG_SHOWN_SIZE];

            err_set(err, ERR_SETTINGS, 0, "'%s' %s", config_value_shown(name, shown), fault);
            free(name);
            config_list_deinit(&read);
            return false;
        }
        read.items = mem_grow(read.items, read.count + 1, sizeof(*read.items));
        read.items[read.count++] = name;
    }
    config_list_deinit(list);
    *list = read;
    return true;
}

/* ---- caps ---- */

void config_caps_deinit(struct config_cap *caps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(caps[i].topic);
    }
    free(caps);
}

static bool read_whole(const char *text, int64_t least, int64_t most, int64_t *number_out)
{
    char *end;
    int64_t number;

    if (!isdigit((unsigned char)*text) && *text != '-') {
        return false;
    }
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most) {
        return false;
    }
    *number_out = number;
    return true;
}

/* `topic:partition=N`, `*=N`, or N where it is the only piece. Cuts `piece` up. */
static bool read_cap(char *piece, bool only, struct config_cap *cap_out)
{
    char *number = strrchr(piece, '=');
    char *partition = strrchr(piece, ':');
    struct config_cap cap = {0};
    int64_t index = 0;

    if (number == NULL) {
        *cap_out = cap;
        return only && read_whole(piece, INT64_MIN, INT64_MAX, &cap_out->records_per_s);
    }
    *number++ = '\0';
    if (!read_whole(number, INT64_MIN, INT64_MAX, &cap.records_per_s)) {
        return false;
    }
    if (strcmp(piece, "*") != 0) {
        if (partition == NULL || partition >= number) {
            return false;
        }
        *partition++ = '\0';
        if (!config_topic_is_valid(piece) || !read_whole(partition, 0, INT32_MAX, &index)) {
            return false;
        }
        cap.topic = mem_text(piece);
        cap.partition = (int32_t)index;
    }
    *cap_out = cap;
    return true;
}

static bool caps_have(const struct config_cap *caps, size_t count, const struct config_cap *cap)
{
    for (size_t i = 0; i < count; i++) {
        if (caps[i].topic == NULL && cap->topic == NULL) {
            return true;
        }
        if (caps[i].topic != NULL && cap->topic != NULL && caps[i].partition == cap->partition &&
            strcmp(caps[i].topic, cap->topic) == 0) {
            return true;
        }
    }
    return false;
}

bool config_caps_read(const char *text, struct config_cap **caps_out, size_t *count_out,
                      struct err *err)
{
    struct config_cap *caps = NULL;
    size_t count = 0;
    const char *at = text;
    char *piece;

    while ((piece = take_piece(&at)) != NULL) {
        char shown[CONFIG_SHOWN_SIZE];
        struct config_cap cap;
        bool sound;

        config_value_shown(piece, shown);
        sound = read_cap(piece, count == 0 && at == NULL, &cap);
        free(piece);
        if (!sound) {
            err_set(err, ERR_SETTINGS, 0,
                    "'%s': must be a whole number of records per second, or a list such as "
                    "orders:0=100,*=500",
                    shown);
            goto refused;
        }
        if (caps_have(caps, count, &cap) || count == CAPS_MAX) {
            err_set(err, ERR_SETTINGS, 0, "'%s' %s", shown,
                    count == CAPS_MAX ? "is one too many"
                                      : "names a partition that stands in the list already");
            free(cap.topic);
            goto refused;
        }
        caps = mem_grow(caps, count + 1, sizeof(*caps));
        caps[count++] = cap;
    }
    *caps_out = caps;
    *count_out = count;
    return true;

refused:
    config_caps_deinit(caps, count);
    return false;
}
