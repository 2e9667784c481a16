/* Lists in settings: topics, and caps by partition. Pure; any thread. */
#ifndef CONFIG_LIST_H
#define CONFIG_LIST_H

#include "config.h"

/* Names separated by commas, none twice. Replaces what is in `list` (a valid or zero one) on
 * success. */
MUST_CHECK bool config_list_read(const char *text, struct config_list *list, struct err *err);
void config_list_deinit(struct config_list *list);

/* One number, or `topic:partition=N,…,*=N`. */
MUST_CHECK bool config_caps_read(const char *text, struct config_cap **caps_out, size_t *count_out,
                                 struct err *err);
void config_caps_deinit(struct config_cap *caps, size_t count);

/* A name that Kafka accepts for a topic. */
bool config_topic_is_valid(const char *name);

#endif
