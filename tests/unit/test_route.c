/* Where a record goes. The hashes are those of Kafka's own test of Utils.murmur2
 * (org.apache.kafka.common.utils). */
#include "route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *key;
    int32_t hash;
} JAVA[] = {
    {"21", -973932308},
    {"foobar", -790332482},
    {"a-little-bit-long-string", -985981536},
    {"a-little-bit-longer-string", -1486304829},
    {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
    {"abc", 479470107},
};

static void a_key_goes_where_java_sends_it(void **state)
{
    static const int32_t COUNTS[] = {1, 2, 3, 7, 12, 100, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof(JAVA) / sizeof(JAVA[0]); i++) {
        for (size_t j = 0; j < sizeof(COUNTS) / sizeof(COUNTS[0]); j++) {
            int32_t expected = (JAVA[i].hash & 0x7fffffff) % COUNTS[j];

            assert_int_equal(
                route_partition(PARTITIONER_KEY, 5, JAVA[i].key, strlen(JAVA[i].key), COUNTS[j]),
                expected);
        }
    }
}

static void the_key_decides_wherever_it_lies_in_memory(void **state)
{
    char bytes[64];

    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(bytes + shift, JAVA[1].key, strlen(JAVA[1].key));
        assert_int_equal(
            route_partition(PARTITIONER_KEY, 0, bytes + shift, strlen(JAVA[1].key), 100000),
            (JAVA[1].hash & 0x7fffffff) % 100000);
    }
}

static void an_empty_key_is_a_key(void **state)
{
    (void)state;
    /* murmur2 of nothing: 0x106e08d9 */
    for (int32_t input = 0; input < 4; input++) {
        assert_int_equal(route_partition(PARTITIONER_KEY, input, "", 0, 1000), 0x106e08d9 % 1000);
    }
}

static void a_null_key_follows_its_input_partition(void **state)
{
    (void)state;
    for (int32_t input = 0; input < 10; input++) {
        assert_int_equal(route_partition(PARTITIONER_KEY, input, NULL, 0, 3), input % 3);
    }
}

static void same_looks_at_the_input_partition_alone(void **state)
{
    (void)state;
    for (int32_t input = 0; input < 10; input++) {
        assert_int_equal(route_partition(PARTITIONER_SAME, input, "abc", 3, 3), input % 3);
        assert_int_equal(route_partition(PARTITIONER_SAME, input, NULL, 0, 12), input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_goes_where_java_sends_it),
        cmocka_unit_test(the_key_decides_wherever_it_lies_in_memory),
        cmocka_unit_test(an_empty_key_is_a_key),
        cmocka_unit_test(a_null_key_follows_its_input_partition),
        cmocka_unit_test(same_looks_at_the_input_partition_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
