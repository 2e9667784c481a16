/* The text of a mark: what we write is read back, and nothing else is taken for ours. */
#include "mark_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define UUID   "0123456789abcdef0123456789abcdef"
#define START  "89abcdef"
#define BEFORE UUID "/" START "/idempotent/"

static const struct mark_text MARK = {
    .uuid = UUID,
    .incarnation = START,
    .delivery = DELIVERY_IDEMPOTENT,
    .batch = 42,
    .slice = 1,
    .slices = 1,
};

static void a_mark_is_written_as_the_protocol_says(void **state)
{
    struct mark_text transactional = MARK;
    char text[MARK_TEXT_SIZE];

    (void)state;
    mark_text_format(&MARK, text);
    assert_string_equal(text, BEFORE "42/1/1");
    transactional.delivery = DELIVERY_TRANSACTIONAL;
    transactional.slice = 3;
    transactional.slices = 0;
    mark_text_format(&transactional, text);
    assert_string_equal(text, UUID "/" START "/transactional/42/3/0");
}

static void the_largest_mark_has_room(void **state)
{
    struct mark_text mark = MARK;
    struct mark_text back;
    char text[MARK_TEXT_SIZE];

    (void)state;
    mark.delivery = DELIVERY_TRANSACTIONAL;
    mark.batch = mark.slice = mark.slices = INT64_MAX;
    mark_text_format(&mark, text);
    assert_true(mark_text_parse(text, &back));
    assert_int_equal(back.batch, INT64_MAX);
    assert_int_equal(back.slices, INT64_MAX);
}

static void what_was_written_is_read_back(void **state)
{
    static const int64_t NUMBERS[] = {0, 1, 9, 10, 12345678901, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        struct mark_text mark = MARK;
        struct mark_text back = {.batch = -1};
        char text[MARK_TEXT_SIZE];

        mark.batch = NUMBERS[i];
        mark_text_format(&mark, text);
        assert_true(mark_text_parse(text, &back));
        assert_string_equal(back.uuid, mark.uuid);
        assert_string_equal(back.incarnation, mark.incarnation);
        assert_int_equal(back.delivery, mark.delivery);
        assert_int_equal(back.batch, mark.batch);
        assert_int_equal(back.slice, mark.slice);
        assert_int_equal(back.slices, mark.slices);
    }
}

static void nothing_else_is_ours(void **state)
{
    static const char *const OTHERS[] = {
        NULL,
        "",
        "/",
        "some tool's metadata",
        UUID,
        UUID "/" START,
        BEFORE,
        BEFORE "42",
        BEFORE "42/1",
        BEFORE "42/1/",
        BEFORE "42/1/1/",
        BEFORE "42/1/1/1",
        BEFORE "42/1/1 ",
        BEFORE "42/1/1\n",
        BEFORE "042/1/1",
        BEFORE "+42/1/1",
        BEFORE "-42/1/1",
        BEFORE " 42/1/1",
        BEFORE "42//1",
        BEFORE "0x2a/1/1",
        BEFORE "9223372036854775808/1/1",
        BEFORE "99999999999999999999999/1/1",
        UUID "/" START "/other/42/1/1",
        UUID "/" START "//42/1/1",
        UUID "/" START "/idempotent1/42/1/1",
        UUID "/89abcde/idempotent/42/1/1",
        UUID "/89abcdef0/idempotent/42/1/1",
        UUID "/89ABCDEF/idempotent/42/1/1",
        UUID "0/" START "/idempotent/42/1/1",
        "0123456789abcdef0123456789abcde/" START "/idempotent/42/1/1",
        "0123456789ABCDEF0123456789ABCDEF/" START "/idempotent/42/1/1",
        "g123456789abcdef0123456789abcdef/" START "/idempotent/42/1/1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        struct mark_text mark = {.batch = -7};

        assert_false(mark_text_parse(OTHERS[i], &mark));
        assert_int_equal(mark.batch, -7);
    }
}

static void a_mark_cut_short_anywhere_is_not_ours(void **state)
{
    char text[MARK_TEXT_SIZE];
    struct mark_text back;

    (void)state;
    mark_text_format(&MARK, text);
    for (size_t size = strlen(text); size-- > 0;) {
        text[size] = '\0';
        assert_false(mark_text_parse(text, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_is_written_as_the_protocol_says),
        cmocka_unit_test(the_largest_mark_has_room),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(nothing_else_is_ours),
        cmocka_unit_test(a_mark_cut_short_anywhere_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
