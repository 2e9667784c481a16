/* Times as people write them in settings: each reader walks over the text once and wants all of
 * it. */
#include "config_time.h"

#include <ctype.h>
#include <time.h>

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS
};
enum { DIGITS_MAX = 12, FRACTION_DIGITS_MAX = 9, DAYS_MAX = 36500 };

/* 1 … most digits; moves *at behind them. */
static bool take_number(const char **at, int least, int most, int64_t *number_out)
{
    int64_t number = 0;
    int digits = 0;

    while (isdigit((unsigned char)**at) && digits < most) {
        number = number * 10 + (**at - '0');
        (*at)++;
        digits++;
    }
    if (digits < least) {
        return false;
    }
    *number_out = number;
    return true;
}

/* `.5` and the like, as ms; nothing there is 0. */
static bool take_fraction(const char **at, int64_t *ms_out)
{
    int64_t ms = 0;
    int64_t unit = 100;
    int digits = 0;

    if (**at != '.') {
        *ms_out = 0;
        return true;
    }
    (*at)++;
    while (isdigit((unsigned char)**at) && digits < FRACTION_DIGITS_MAX) {
        ms += unit * (**at - '0');
        unit /= 10;
        (*at)++;
        digits++;
    }
    *ms_out = ms;
    return digits > 0;
}

static bool take_char(const char **at, char lower)
{
    if (tolower((unsigned char)**at) != lower) {
        return false;
    }
    (*at)++;
    return true;
}

bool config_time_duration(const char *text, int64_t *ms_out)
{
    static const struct {
        char letter;
        int64_t ms;
    } PARTS[] = {{'d', DAY_MS}, {'h', HOUR_MS}, {'m', MINUTE_MS}, {'s', SECOND_MS}};
    enum { PART_COUNT = sizeof(PARTS) / sizeof(PARTS[0]) };
    const char *at = text;
    int64_t sum = 0;
    size_t part = 0;
    bool time = false;
    bool any = false;

    if (!take_char(&at, 'p')) {
        return false;
    }
    while (*at != '\0') {
        int64_t number;
        int64_t fraction;

        if (!time && take_char(&at, 't')) {
            time = true;
        }
        if (!take_number(&at, 1, DIGITS_MAX, &number) || !take_fraction(&at, &fraction)) {
            return false;
        }
        while (part < PART_COUNT && tolower((unsigned char)*at) != PARTS[part].letter) {
            part++;
        }
        if (part == PART_COUNT || (part > 0) != time ||
            (fraction > 0 && PARTS[part].letter != 's')) {
            return false;
        }
        if (number > (int64_t)DAYS_MAX * DAY_MS / PARTS[part].ms) {
            return false;
        }
        sum += number * PARTS[part].ms + fraction;
        part++;
        at++;
        any = true;
    }
    if (!any || sum > (int64_t)DAYS_MAX * DAY_MS) {
        return false;
    }
    *ms_out = sum;
    return true;
}

/* `Z` or `±HH:MM`, as ms east of UTC. */
static bool take_zone(const char **at, int64_t *ms_out)
{
    int64_t hours;
    int64_t minutes;
    int64_t sign;

    if (take_char(at, 'z')) {
        *ms_out = 0;
        return true;
    }
    if (**at != '+' && **at != '-') {
        return false;
    }
    sign = **at == '-' ? -1 : 1;
    (*at)++;
    if (!take_number(at, 2, 2, &hours) || !take_char(at, ':') || !take_number(at, 2, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    *ms_out = sign * (hours * HOUR_MS + minutes * MINUTE_MS);
    return true;
}

/* The day exists and the time lies in it; 60 is a leap second's name. */
static bool is_sound(const struct tm *given)
{
    struct tm day = {.tm_year = given->tm_year, .tm_mon = given->tm_mon, .tm_mday = given->tm_mday};

    timegm(&day);
    return day.tm_mon == given->tm_mon && day.tm_mday == given->tm_mday && given->tm_hour <= 23 &&
           given->tm_min <= 59 && given->tm_sec <= 60;
}

bool config_time_rfc3339(const char *text, int64_t *ms_out)
{
    const char *at = text;
    int64_t year, month, day, hour, minute, second, fraction, zone, ms;
    struct tm utc;

    if (!take_number(&at, 4, 4, &year) || !take_char(&at, '-') || !take_number(&at, 2, 2, &month) ||
        !take_char(&at, '-') || !take_number(&at, 2, 2, &day)) {
        return false;
    }
    if (!take_char(&at, 't') && !take_char(&at, ' ')) {
        return false;
    }
    if (!take_number(&at, 2, 2, &hour) || !take_char(&at, ':') ||
        !take_number(&at, 2, 2, &minute) || !take_char(&at, ':') ||
        !take_number(&at, 2, 2, &second) || !take_fraction(&at, &fraction) ||
        !take_zone(&at, &zone) || *at != '\0') {
        return false;
    }
    utc = (struct tm){
        .tm_year = (int)year - 1900,
        .tm_mon = (int)month - 1,
        .tm_mday = (int)day,
        .tm_hour = (int)hour,
        .tm_min = (int)minute,
        .tm_sec = (int)second,
    };
    if (!is_sound(&utc)) {
        return false;
    }
    ms = (int64_t)timegm(&utc) * SECOND_MS + fraction - zone;
    if (ms < 0) {
        return false;
    }
    *ms_out = ms;
    return true;
}
