/* Times as people write them in settings. Pure; any thread. */
#ifndef CONFIG_TIME_H
#define CONFIG_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* An ISO 8601 duration of days, hours, minutes, seconds (`P1D`, `PT12H30M`, `PT0.5S`), as Java's
 * Duration reads it, none of them negative, below 36500 days in all. */
bool config_time_duration(const char *text, int64_t *ms_out);

/* An RFC 3339 time with its zone (`2026-01-31T12:00:00Z`, `…+01:00`, fractions of seconds are cut
 * to ms), not before 1970: ms since then. */
bool config_time_rfc3339(const char *text, int64_t *ms_out);

#endif
