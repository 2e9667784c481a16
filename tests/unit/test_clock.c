/* The job's clock: it goes on through a suspend, knows no wall-clock steps, and never goes back. */
#include "clock.h"

#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

struct world {
    int64_t boot_ms;
    int64_t wall_ms;
};

static int64_t world_boot_ms(void *arg)
{
    return ((struct world *)arg)->boot_ms;
}

static int64_t world_wall_ms(void *arg)
{
    return ((struct world *)arg)->wall_ms;
}

static struct clock_source source_of(struct world *world)
{
    return (struct clock_source){.boot_ms = world_boot_ms, .wall_ms = world_wall_ms, .arg = world};
}

static void it_starts_at_wall_time(void **state)
{
    struct world world = {.boot_ms = 5000, .wall_ms = 1000000};
    struct clock_source source = source_of(&world);
    struct job_clock clock;

    (void)state;
    clock_init(&clock, &source, 0);
    assert_int_equal(clock_now_ms(&clock), 1000000);
    clock_init(&clock, &source, 999999);
    assert_int_equal(clock_now_ms(&clock), 1000000);
}

static void it_starts_above_the_ledger(void **state)
{
    struct world world = {.boot_ms = 5000, .wall_ms = 1000000};
    struct clock_source source = source_of(&world);
    struct job_clock clock;

    (void)state;
    clock_init(&clock, &source, 1000000);
    assert_int_equal(clock_now_ms(&clock), 1000001);
    clock_init(&clock, &source, 7777777); /* the wall clock was set back */
    assert_int_equal(clock_now_ms(&clock), 7777778);
    assert_int_equal(clock_wall_ms(&clock), 1000000);
}

static void a_step_of_the_wall_clock_does_not_show(void **state)
{
    struct world world = {.boot_ms = 5000, .wall_ms = 1000000};
    struct clock_source source = source_of(&world);
    struct job_clock clock;

    (void)state;
    clock_init(&clock, &source, 0);
    world.boot_ms += 10;
    world.wall_ms -= 3600000;
    assert_int_equal(clock_now_ms(&clock), 1000010);
    assert_int_equal(clock_wall_ms(&clock), 1000000 - 3600000);
    world.boot_ms += 10;
    world.wall_ms += 2 * 3600000;
    assert_int_equal(clock_now_ms(&clock), 1000020);
}

static void a_suspend_counts(void **state)
{
    struct world world = {.boot_ms = 5000, .wall_ms = 1000000};
    struct clock_source source = source_of(&world);
    struct job_clock clock;

    (void)state;
    clock_init(&clock, &source, 0);
    world.boot_ms += 8 * 3600000;
    assert_int_equal(clock_now_ms(&clock), 1000000 + 8 * 3600000);
}

/* The boot clock is read, never summed up: nothing is rounded on the way. */
static void it_does_not_drift_in_a_month_of_steps_and_suspends(void **state)
{
    struct world world = {.boot_ms = 123456, .wall_ms = INT64_C(1800000000000)};
    struct clock_source source = source_of(&world);
    struct job_clock clock;
    int64_t begun_ms = world.boot_ms;
    int64_t last_ms = 0;

    (void)state;
    clock_init(&clock, &source, INT64_C(1800000005000));
    for (int turn = 0; turn < 1000000; turn++) {
        int64_t now;

        world.boot_ms += turn % 1000 == 999 ? 8 * 3600000 / 100 : turn * 7 % 2500;
        world.wall_ms += (turn % 3 - 1) * INT64_C(86400000); /* days to and fro */
        now = clock_now_ms(&clock);
        assert_int_equal(now, INT64_C(1800000005001) + world.boot_ms - begun_ms);
        assert_true(now >= last_ms);
        last_ms = now;
    }
    assert_true(world.boot_ms - begun_ms > INT64_C(14) * 86400000);
}

/* A day's restarts with a wall clock that is set back each time: time goes on all the same. */
static void it_goes_on_over_restarts_whatever_the_wall_clock_says(void **state)
{
    struct world world = {.boot_ms = 0, .wall_ms = INT64_C(1800000000000)};
    struct clock_source source = source_of(&world);
    int64_t last_ms = 0;

    (void)state;
    for (int start = 0; start < 1000; start++) {
        struct job_clock clock;

        clock_init(&clock, &source, last_ms);
        assert_true(clock_now_ms(&clock) > last_ms);
        world.boot_ms = start % 7 == 0 ? 0 : world.boot_ms; /* the machine too */
        clock_init(&clock, &source, last_ms);
        world.boot_ms += 60000;
        last_ms = clock_now_ms(&clock);
        world.wall_ms -= 3600000;
    }
    assert_int_equal(last_ms, INT64_C(1800000000000) + 1000 * INT64_C(60000) + 999);
}

static void the_latest_time_of_a_ledger_does_not_overflow(void **state)
{
    struct world world = {.boot_ms = INT64_C(100) * 365 * 86400000, .wall_ms = 0};
    struct clock_source source = source_of(&world);
    struct job_clock clock;

    (void)state;
    clock_init(&clock, &source, LEDGER_MS_MAX);
    world.boot_ms *= 2;
    assert_int_equal(clock_now_ms(&clock), LEDGER_MS_MAX + 1 + world.boot_ms / 2);
}

static void the_systems_clocks_are_the_real_ones(void **state)
{
    struct timespec real;
    struct timespec boot;
    int64_t difference;

    (void)state;
    clock_gettime(CLOCK_REALTIME, &real);
    difference =
        CLOCK_SYSTEM.wall_ms(NULL) - ((int64_t)real.tv_sec * 1000 + real.tv_nsec / 1000000);
    assert_in_range(difference, 0, 10000);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    difference =
        CLOCK_SYSTEM.boot_ms(NULL) - ((int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000);
    assert_in_range(difference, 0, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_at_wall_time),
        cmocka_unit_test(it_starts_above_the_ledger),
        cmocka_unit_test(a_step_of_the_wall_clock_does_not_show),
        cmocka_unit_test(a_suspend_counts),
        cmocka_unit_test(it_does_not_drift_in_a_month_of_steps_and_suspends),
        cmocka_unit_test(it_goes_on_over_restarts_whatever_the_wall_clock_says),
        cmocka_unit_test(the_latest_time_of_a_ledger_does_not_overflow),
        cmocka_unit_test(the_systems_clocks_are_the_real_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
