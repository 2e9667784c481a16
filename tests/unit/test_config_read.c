/* The file's form: lines, comments, and what inih would silently make something else of. */
#include "config_case.h"

#include "config_read.h"

#include <stdio.h>

struct seen {
    char *text; /* NAME=VALUE@LINE; … */
};

static bool see(void *arg, const char *name, const char *value, int line, struct err *err)
{
    struct seen *seen = arg;
    char *longer = mem_print("%s%s=%s@%d;", seen->text, name, value, line);

    (void)err;
    free(seen->text);
    seen->text = longer;
    return true;
}

static void assert_lines(const char *text, const char *expected)
{
    struct seen seen = {.text = mem_text("")};
    struct err err = {0};

    if (!config_read_lines("f", text, strlen(text), see, &seen, &err)) {
        fail_msg("'%s': %s", text, err.text);
    }
    assert_string_equal(seen.text, expected);
    free(seen.text);
}

static void assert_refused(const char *text, size_t size, const char *words)
{
    struct seen seen = {.text = mem_text("")};
    struct err err = {0};

    if (config_read_lines("f", text, size, see, &seen, &err)) {
        fail_msg("'%s' was accepted as %s", text, seen.text);
    }
    assert_int_equal(err.kind, ERR_SETTINGS);
    if (strstr(err.text, words) == NULL) {
        fail_msg("no '%s' in: %s", words, err.text);
    }
    free(seen.text);
}

static void lines_are_name_and_value(void **state)
{
    (void)state;
    assert_lines("", "");
    assert_lines("a=1", "a=1@1;");
    assert_lines("\n\n# x = y\n; z\n  # indented = comment\na.b-c = d = e \r\n", "a.b-c=d = e@6;");
    assert_lines("a = 1\n\tb = 2\n  c=3\n", "a=1@1;b=2@2;c=3@3;");
    assert_lines("a =\nb = x", "a=@1;b=x@2;");
    assert_lines("\xef\xbb\xbf"
                 "a = 1\n",
                 "a=1@1;");
    assert_lines("a = x:y\n", "a=x:y@1;");
}

static void a_value_keeps_what_looks_like_a_comment(void **state)
{
    (void)state;
    assert_lines("p = a ;b #c\n", "p=a ;b #c@1;");
    assert_lines("p = \"a\" \\\n", "p=\"a\" \\@1;");
}

static void a_long_line_stays_whole(void **state)
{
    char *value = mem_zero(CONFIG_LINE_BYTES_MAX + 2);
    char *text;
    char *expected;

    (void)state;
    memset(value, 'v', CONFIG_LINE_BYTES_MAX - 2);
    text = mem_print("a=%s\nb=1\n", value);
    expected = mem_print("a=%s@1;b=1@2;", value);
    assert_lines(text, expected);
    free(text);
    free(expected);
    memset(value, 'v', CONFIG_LINE_BYTES_MAX + 1);
    text = mem_print("x=1\na=%s\n", value);
    assert_refused(text, strlen(text), "f:2: ");
    free(text);
    free(value);
}

static void what_is_no_setting_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } CASES[] = {
        {"a = 1\n[kafka]\nb = 2\n", "f:2: sections"},
        {"  [kafka]\n", "f:1: sections"},
        {"[", "f:1: sections"},
        {"\xef\xbb\xbf[x]\n", "f:1: sections"},
        {"a = 1\nnonsense\n", "f:2: a setting is written as name = value"},
        {"a = 1\n\n\nb: 2\n", "f:4: a setting is written as name = value"},
        {"a:b = 2\n", "f:1: a setting is written as name = value"},
        {" = 2\n", "f:1: there is no name"},
        {"= 2\n", "f:1: there is no name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_refused(CASES[i].text, strlen(CASES[i].text), CASES[i].words);
    }
    assert_refused("a = 1\nb = x\0y\nc = 2\n", 21, "f:2: a zero byte");
    assert_refused("\0", 1, "f:1: a zero byte");
}

static bool refuse_second(void *arg, const char *name, const char *value, int line, struct err *err)
{
    (void)name;
    (void)value;
    *(int *)arg = line;
    return line < 2 || err_set(err, ERR_SETTINGS, 0, "not this one");
}

static void the_first_refusal_ends_the_reading(void **state)
{
    static const char TEXT[] = "a = 1\nb = 2\nc = 3\n[x]\n";
    struct err err = {0};
    int last = 0;

    (void)state;
    assert_false(config_read_lines("f", TEXT, strlen(TEXT), refuse_second, &last, &err));
    assert_int_equal(last, 2);
    assert_string_equal(err.text, "not this one");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct config *config = config_new();
    struct err err = {0};

    (void)state;
    assert_false(config_read_file(config, "/nowhere/x.conf", &err));
    assert_non_null(strstr(err.text, "'/nowhere/x.conf'"));
    assert_false(config_read_file(config, "/", &err));
    assert_non_null(strstr(err.text, "'/'"));
    assert_false(config_read_file(config, "/dev/zero", &err));
    assert_non_null(strstr(err.text, "larger than 1 MiB"));
    assert_int_equal(err.kind, ERR_SETTINGS);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_name_and_value),
        cmocka_unit_test(a_value_keeps_what_looks_like_a_comment),
        cmocka_unit_test(a_long_line_stays_whole),
        cmocka_unit_test(what_is_no_setting_is_refused_with_its_line),
        cmocka_unit_test(the_first_refusal_ends_the_reading),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
