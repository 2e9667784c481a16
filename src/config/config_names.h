/* librdkafka's names of settings, as the library itself lists them, and the known name nearest to a
 * wrong one. Main thread. */
#ifndef CONFIG_NAMES_H
#define CONFIG_NAMES_H

#include "config.h"

struct config_names;

struct config_names *config_names_new(void);
void config_names_free(struct config_names *names); /* accepts NULL */

/* The name that stands for all aliases of `name`; `name` itself when it has none. */
const char *config_names_canonical(const struct config_names *names, const char *name);

/* Whose setting it is; CONFIG_BOTH also when it isn't listed. */
enum config_client config_names_client(const struct config_names *names, const char *name);

/* The nearest of our names, aliases and librdkafka's; NULL when none is near. Borrowed. */
const char *config_names_nearest(const struct config_names *names, const char *name);

#endif
