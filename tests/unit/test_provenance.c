/* The provenance header: what is written is read back, and nothing else is read. */
#include "provenance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct provenance sample(void)
{
    return (struct provenance){
        .job = "cbf43926",
        .ledger = "0123456789ab",
        .incarnation = "00ff00ff",
        .batch = 7,
        .topic = "orders",
        .partition = 3,
        .offset = 81244,
        .index = 0,
    };
}

static size_t write_text(const struct provenance *provenance, char *text)
{
    struct provenance_prefix prefix;

    provenance_prefix(provenance, &prefix);
    return provenance_write(&prefix, provenance->offset, provenance->index, text);
}

static void assert_round_trip(const struct provenance *provenance)
{
    char text[PROVENANCE_TEXT_SIZE];
    struct provenance found;
    size_t size = write_text(provenance, text);

    assert_true(size < PROVENANCE_TEXT_SIZE);
    assert_true(provenance_read(text, size, &found));
    assert_string_equal(found.job, provenance->job);
    assert_string_equal(found.ledger, provenance->ledger);
    assert_string_equal(found.incarnation, provenance->incarnation);
    assert_string_equal(found.topic, provenance->topic);
    assert_int_equal(found.batch, provenance->batch);
    assert_int_equal(found.partition, provenance->partition);
    assert_int_equal(found.offset, provenance->offset);
    assert_int_equal(found.index, provenance->index);
}

static void the_text_is_as_the_schema_page_shows_it(void **state)
{
    char text[PROVENANCE_TEXT_SIZE];
    struct provenance provenance = sample();
    size_t size = write_text(&provenance, text);
    static const char EXPECTED[] = "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0";

    (void)state;
    assert_int_equal(size, strlen(EXPECTED));
    assert_memory_equal(text, EXPECTED, size);
}

static void a_job_is_the_crc32_of_its_name(void **state)
{
    char job[PROVENANCE_JOB_SIZE];

    (void)state;
    provenance_job("123456789", job); /* the check value of CRC-32 */
    assert_string_equal(job, "cbf43926");
    provenance_job("a", job);
    assert_string_equal(job, "e8b7be43");
    provenance_job("codding", job); /* a sum that begins with a zero */
    assert_int_equal(strlen(job), 8);
}

static void what_is_written_is_read_back(void **state)
{
    static const int64_t OFFSETS[] = {0, 1, 9, 10, 99, 100, 81244, 4294967296, INT64_MAX};
    static const int32_t INDEXES[] = {0, 1, 10, INT32_MAX};
    struct provenance provenance = sample();

    (void)state;
    for (size_t i = 0; i < sizeof(OFFSETS) / sizeof(OFFSETS[0]); i++) {
        for (size_t j = 0; j < sizeof(INDEXES) / sizeof(INDEXES[0]); j++) {
            provenance.offset = OFFSETS[i];
            provenance.index = INDEXES[j];
            assert_round_trip(&provenance);
        }
    }
}

static void the_longest_text_fits(void **state)
{
    struct provenance provenance = sample();

    (void)state;
    provenance.batch = INT64_MAX;
    provenance.partition = INT32_MAX;
    provenance.offset = INT64_MAX;
    provenance.index = INT32_MAX;
    memset(provenance.topic, 'x', TOPIC_NAME_MAX);
    provenance.topic[TOPIC_NAME_MAX] = '\0';
    assert_round_trip(&provenance);
}

static void every_legal_topic_name_is_read(void **state)
{
    static const char *const TOPICS[] = {"a", "A.b_c-9", "...", "..a", "0"};
    struct provenance provenance = sample();

    (void)state;
    for (size_t i = 0; i < sizeof(TOPICS) / sizeof(TOPICS[0]); i++) {
        snprintf(provenance.topic, sizeof(provenance.topic), "%s", TOPICS[i]);
        assert_round_trip(&provenance);
    }
}

static void a_malformed_text_is_refused(void **state)
{
    static const char *const TEXTS[] = {
        "",
        "/",
        "1",
        "1/",
        "2/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0", /* another layout */
        "11/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0",
        "/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0",
        " 1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0",
        "1/cbf4392/0123456789ab/00ff00ff/7/orders/3/81244/0", /* job */
        "1/cbf439260/0123456789ab/00ff00ff/7/orders/3/81244/0",
        "1/CBF43926/0123456789ab/00ff00ff/7/orders/3/81244/0",
        "1/cbf4392g/0123456789ab/00ff00ff/7/orders/3/81244/0",
        "1//0123456789ab/00ff00ff/7/orders/3/81244/0",
        "1/cbf43926/0123456789a/00ff00ff/7/orders/3/81244/0", /* ledger */
        "1/cbf43926/0123456789abc/00ff00ff/7/orders/3/81244/0",
        "1/cbf43926/0123456789aB/00ff00ff/7/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00f/7/orders/3/81244/0", /* incarnation */
        "1/cbf43926/0123456789ab/00ff00ff0/7/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00f /7/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/0/orders/3/81244/0", /* batch */
        "1/cbf43926/0123456789ab/00ff00ff/07/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/-7/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/+7/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff//orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/9223372036854775808/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/99999999999999999999/orders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7//3/81244/0", /* topic */
        "1/cbf43926/0123456789ab/00ff00ff/7/./3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/../3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/or ders/3/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/-1/81244/0", /* partition */
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/03/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/2147483648/81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders//81244/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/-1/0", /* offset */
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/9223372036854775808/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/0x10/0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3//0",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/", /* index */
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/-1",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/00",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/2147483648",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0/", /* too much */
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0/1",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0 ",
        "1/cbf43926/0123456789ab/00ff00ff/7/orders/3/81244/0\n",
    };
    struct provenance found = {.batch = -5};

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        if (provenance_read(TEXTS[i], strlen(TEXTS[i]), &found)) {
            fail_msg("read: %s", TEXTS[i]);
        }
    }
    assert_false(provenance_read(NULL, 0, &found));
    assert_int_equal(found.batch, -5); /* left alone */
}

static void a_text_cut_anywhere_is_refused(void **state)
{
    char text[PROVENANCE_TEXT_SIZE];
    struct provenance provenance = sample();
    struct provenance found;
    size_t size;

    (void)state;
    provenance.index = 0; /* one digit: a cut number would read as a smaller one */
    size = write_text(&provenance, text);
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(provenance_read(text, cut, &found));
    }
    text[size] = '\0'; /* an end inside the size isn't ours either */
    assert_false(provenance_read(text, size + 1, &found));
}

static void a_topic_name_too_long_is_refused(void **state)
{
    char text[PROVENANCE_TEXT_SIZE];
    char topic[TOPIC_NAME_MAX + 2];
    struct provenance found;
    int size;

    (void)state;
    memset(topic, 'x', sizeof(topic) - 1);
    topic[sizeof(topic) - 1] = '\0';
    size = snprintf(text, sizeof(text), "1/cbf43926/0123456789ab/00ff00ff/7/%s/3/1/0", topic);
    assert_false(provenance_read(text, (size_t)size, &found));
    size = snprintf(text, sizeof(text), "1/cbf43926/0123456789ab/00ff00ff/7/%s/3/1/0", topic + 1);
    assert_true(provenance_read(text, (size_t)size, &found));
}

/* Whatever one changed byte makes of a text: if it is still read, it is the text of what was
 * read. */
static void a_changed_byte_is_refused_or_read_as_what_it_says(void **state)
{
    char text[PROVENANCE_TEXT_SIZE];
    char again[PROVENANCE_TEXT_SIZE];
    struct provenance provenance = sample();
    struct provenance found;
    size_t size = write_text(&provenance, text);

    (void)state;
    for (size_t at = 0; at < size; at++) {
        char was = text[at];

        for (int byte = 0; byte < 256; byte++) {
            text[at] = (char)byte;
            if (provenance_read(text, size, &found)) {
                assert_int_equal(write_text(&found, again), size);
                assert_memory_equal(again, text, size);
            }
        }
        text[at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_as_the_schema_page_shows_it),
        cmocka_unit_test(a_job_is_the_crc32_of_its_name),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(every_legal_topic_name_is_read),
        cmocka_unit_test(a_malformed_text_is_refused),
        cmocka_unit_test(a_text_cut_anywhere_is_refused),
        cmocka_unit_test(a_topic_name_too_long_is_refused),
        cmocka_unit_test(a_changed_byte_is_refused_or_read_as_what_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
