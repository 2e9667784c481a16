/* Durations and times as people write them. */
#include "config_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct time_case {
    const char *text;
    int64_t ms; /* −1 = refused */
};

static const struct time_case DURATIONS[] = {
    {"P1D", 86400000},
    {"p1d", 86400000},
    {"PT1H", 3600000},
    {"PT12H30M", 45000000},
    {"P1DT2H3M4S", 93784000},
    {"PT0.5S", 500},
    {"PT0.0009S", 0},
    {"PT36H", 129600000},
    {"PT0S", 0},
    {"P0D", 0},
    {"P36500D", INT64_C(3153600000000)},
    {"", -1},
    {"P", -1},
    {"PT", -1},
    {"P1DT", -1},
    {"1D", -1},
    {"P1", -1},
    {"P1H", -1},
    {"PT1D", -1},
    {"P1W", -1},
    {"P1M", -1},
    {"P1Y", -1},
    {"P-1D", -1},
    {"-P1D", -1},
    {"PT1M1H", -1},
    {"PT1H1H", -1},
    {"P0.5D", -1},
    {"PT0.5H", -1},
    {"PT.5S", -1},
    {"PT5.S", -1},
    {"P1D ", -1},
    {" P1D", -1},
    {"P1DTT1H", -1},
    {"P36501D", -1},
    {"P36500DT1S", -1},
    {"PT999999999999H", -1},
    {"PT9999999999999999999S", -1},
};

static const struct time_case TIMES[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00.001Z", 1},
    {"2026-01-31T12:00:00Z", INT64_C(1769860800000)},
    {"2026-01-31t12:00:00z", INT64_C(1769860800000)},
    {"2026-01-31 12:00:00Z", INT64_C(1769860800000)},
    {"2026-01-31T13:30:00+01:30", INT64_C(1769860800000)},
    {"2026-01-31T07:00:00-05:00", INT64_C(1769860800000)},
    {"2026-01-31T12:00:00.123456789Z", INT64_C(1769860800123)},
    {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
    {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
    {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
    {"", -1},
    {"2026-01-31", -1},
    {"2026-01-31T12:00:00", -1},
    {"2026-01-31T12:00Z", -1},
    {"2026-02-29T00:00:00Z", -1},
    {"2026-13-01T00:00:00Z", -1},
    {"2026-00-01T00:00:00Z", -1},
    {"2026-01-00T00:00:00Z", -1},
    {"2026-01-31T24:00:00Z", -1},
    {"2026-01-31T12:60:00Z", -1},
    {"2026-01-31T12:00:61Z", -1},
    {"2026-01-31T12:00:00.Z", -1},
    {"2026-01-31T12:00:00+0100", -1},
    {"2026-01-31T12:00:00+24:00", -1},
    {"2026-01-31T12:00:00Z ", -1},
    {"26-01-31T12:00:00Z", -1},
    {"1969-12-31T23:59:59Z", -1},
    {"1970-01-01T00:00:00+00:01", -1},
    {"yesterday", -1},
};

static void check(const struct time_case *cases, size_t count,
                  bool (*read)(const char *, int64_t *))
{
    for (size_t i = 0; i < count; i++) {
        int64_t ms = -1;
        bool good = read(cases[i].text, &ms);

        if (good != (cases[i].ms >= 0) || ms != cases[i].ms) {
            fail_msg("'%s' gave %s, %lld", cases[i].text, good ? "true" : "false", (long long)ms);
        }
    }
}

static void durations_are_read_as_java_does(void **state)
{
    (void)state;
    check(DURATIONS, sizeof(DURATIONS) / sizeof(DURATIONS[0]), config_time_duration);
}

static void times_need_a_zone_and_a_day_that_exists(void **state)
{
    (void)state;
    check(TIMES, sizeof(TIMES) / sizeof(TIMES[0]), config_time_rfc3339);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_as_java_does),
        cmocka_unit_test(times_need_a_zone_and_a_day_that_exists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
