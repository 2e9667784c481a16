/* Settings that go to librdkafka: which there are, which the protocol fixes, which are secrets.
 * Main thread. */
#ifndef CONFIG_CLIENT_H
#define CONFIG_CLIENT_H

#include "config_table.h"

/* Takes one setting that is no row of the table. `name`: as written; `value`: resolved; `secret`:
 * not to be shown; `from_file`: a second one in the file is refused, else the later one wins. The
 * error names the setting, not the origin, and shows no secret. */
/* By librdkafka's main name. */
#define CONFIG_IN_FLIGHT "max.in.flight.requests.per.connection"

MUST_CHECK bool config_client_set(struct config *config, const char *name, const char *value,
                                  bool secret, bool from_file, const char *origin, struct err *err);

/* Is what this setting holds never to be seen? With or without a prefix. */
bool config_client_is_secret(const char *name);

/* Settings of one client behind those of both, so that they win when they are applied in order. */
void config_client_sort(struct config *config);

void config_client_deinit(struct config *config);

/* The value of a setting for both clients, by librdkafka's main name; NULL when it isn't set. */
const char *config_client_value(const struct config *config, const char *name);

/* The same for a producer: `producer.NAME` before the plain one. */
const char *config_producer_value(const struct config *config, const char *name);

#endif
