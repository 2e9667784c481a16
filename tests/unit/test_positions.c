/* When a record can be known by its place alone. */
#include "positions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct positions_route FINE = {
    .input = "in", .output = "out", .input_partitions = 3, .output_partitions = 3};

/* The second of two routes is the one that is judged. */
static bool check(const struct positions_route *route, struct err *err)
{
    struct positions_route routes[] = {FINE, *route};

    routes[0].input = "other";
    routes[0].output = "other_out";
    *err = (struct err){0};
    return positions_check(routes, 2, err);
}

static void assert_refused(const struct positions_route *route, const char *word)
{
    struct err err;

    assert_false(check(route, &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, word));
    assert_non_null(strstr(err.text, "output.provenance=headers"));
}

static void as_many_output_partitions_or_more_are_fine(void **state)
{
    struct positions_route route = FINE;
    struct err err;

    (void)state;
    assert_true(check(&route, &err));
    route.output_partitions = 7;
    assert_true(check(&route, &err));
    assert_true(positions_check(NULL, 0, &err));
}

static void fewer_output_partitions_would_have_two_sources(void **state)
{
    struct positions_route route = FINE;

    (void)state;
    route.output_partitions = 2;
    assert_refused(&route, "'out' has 2 partitions");
}

static void a_compacted_topic_is_refused_by_name(void **state)
{
    struct positions_route route = FINE;

    (void)state;
    route.input_compacted = true;
    assert_refused(&route, "input 'in' is compacted");
    route.input_compacted = false;
    route.output_compacted = true;
    assert_refused(&route, "output 'out' is compacted");
}

static void a_refusal_names_the_place_and_what_was_found(void **state)
{
    struct err err;

    (void)state;
    assert_false(positions_refuse("out", 2, 10, 13, "the reason", &err));
    assert_int_equal(err.kind, ERR_DECISION);
    assert_non_null(strstr(err.text, "'out'[2]: offsets 10 to 12"));
    assert_non_null(strstr(err.text, "the reason"));
    assert_false(positions_refuse("out", 2, 10, 11, "the reason", &err));
    assert_non_null(strstr(err.text, "'out'[2]: offset 10 isn't"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_output_partitions_or_more_are_fine),
        cmocka_unit_test(fewer_output_partitions_would_have_two_sources),
        cmocka_unit_test(a_compacted_topic_is_refused_by_name),
        cmocka_unit_test(a_refusal_names_the_place_and_what_was_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
