/* Two records, byte for byte. */
#include "compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum compare_result both_ways(const struct compare_record *a, const struct compare_record *b)
{
    enum compare_result result = compare_records(a, b);

    assert_int_equal(compare_records(b, a), result);
    return result;
}

static void records_without_anything_are_the_same(void **state)
{
    struct compare_record none = {0};

    (void)state;
    assert_int_equal(compare_records(&none, &none), COMPARE_SAME);
}

static void equal_bytes_at_different_places_are_the_same(void **state)
{
    char a_key[] = {0, 1, (char)0xff};
    char b_key[] = {0, 1, (char)0xff};
    struct compare_record a = {.key = a_key, .key_size = 3, .value = "abc", .value_size = 3};
    struct compare_record b = {.key = b_key, .key_size = 3, .value = a_key, .value_size = 3};

    (void)state;
    assert_int_equal(both_ways(&a, &b), COMPARE_VALUE);
    b.value = "abcd"; /* its first three */
    assert_int_equal(both_ways(&a, &b), COMPARE_SAME);
}

static void null_is_not_empty(void **state)
{
    struct compare_record null = {0};
    struct compare_record empty_key = {.key = ""};
    struct compare_record empty_value = {.value = ""};

    (void)state;
    assert_int_equal(both_ways(&null, &empty_key), COMPARE_KEY);
    assert_int_equal(both_ways(&null, &empty_value), COMPARE_VALUE);
    assert_int_equal(both_ways(&empty_key, &empty_key), COMPARE_SAME);
}

static void one_byte_more_or_other_differs(void **state)
{
    struct compare_record a = {.key = "k", .key_size = 1, .value = "value", .value_size = 5};
    struct compare_record b = a;

    (void)state;
    b.value_size = 4;
    assert_int_equal(both_ways(&a, &b), COMPARE_VALUE);
    b = a;
    b.value = "valuE";
    assert_int_equal(both_ways(&a, &b), COMPARE_VALUE);
    b = a;
    b.key_size = 0;
    assert_int_equal(both_ways(&a, &b), COMPARE_KEY);
    assert_string_equal(compare_word(COMPARE_KEY), "key");
    assert_string_equal(compare_word(COMPARE_VALUE), "value");
    assert_string_equal(compare_word(COMPARE_HEADERS), "headers");
}

struct header {
    const char *name;
    const char *value; /* NULL = null */
};

static rd_kafka_headers_t *make(const struct header *list)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);

    for (; list->name != NULL; list++) {
        rd_kafka_header_add(headers, list->name, -1, list->value, list->value == NULL ? 0 : -1);
    }
    return headers;
}

static void headers_are_compared_in_their_order(void **state)
{
    static const struct header ROWS[][4] = {
        {{0}},
        {{"a", "1"}, {0}},
        {{"a", "2"}, {0}},
        {{"b", "1"}, {0}},
        {{"a", ""}, {0}},
        {{"a", NULL}, {0}},
        {{"a", "1"}, {"a", "1"}, {0}},
        {{"a", "1"}, {"b", "1"}, {0}},
        {{"b", "1"}, {"a", "1"}, {0}},
        {{"", "1"}, {0}},
    };
    enum { COUNT = sizeof(ROWS) / sizeof(ROWS[0]) };

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            rd_kafka_headers_t *left = make(ROWS[i]);
            rd_kafka_headers_t *right = make(ROWS[j]);
            struct compare_record a = {.key = "k", .key_size = 1, .headers = left};
            struct compare_record b = {.key = "k", .key_size = 1, .headers = right};

            assert_int_equal(compare_records(&a, &b), i == j ? COMPARE_SAME : COMPARE_HEADERS);
            rd_kafka_headers_destroy(left);
            rd_kafka_headers_destroy(right);
        }
    }
}

static void no_list_of_headers_is_the_same_as_an_empty_one(void **state)
{
    rd_kafka_headers_t *none = rd_kafka_headers_new(0);
    rd_kafka_headers_t *one = make((const struct header[]){{"a", "1"}, {0}});
    struct compare_record without = {.value = "v", .value_size = 1};
    struct compare_record with_none = {.value = "v", .value_size = 1, .headers = none};
    struct compare_record with_one = {.value = "v", .value_size = 1, .headers = one};

    (void)state;
    assert_int_equal(both_ways(&without, &with_none), COMPARE_SAME);
    assert_int_equal(both_ways(&without, &with_one), COMPARE_HEADERS);
    rd_kafka_headers_destroy(none);
    rd_kafka_headers_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_without_anything_are_the_same),
        cmocka_unit_test(equal_bytes_at_different_places_are_the_same),
        cmocka_unit_test(null_is_not_empty),
        cmocka_unit_test(one_byte_more_or_other_differs),
        cmocka_unit_test(headers_are_compared_in_their_order),
        cmocka_unit_test(no_list_of_headers_is_the_same_as_an_empty_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
