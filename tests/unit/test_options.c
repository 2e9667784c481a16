/* The command line: what is taken, what is refused, in one line. */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGS_MAX = 12 };

/* `args`: NULL-ended, without the program's name. */
static bool parse(char **args, struct options *options, struct err *err)
{
    char *argv[ARGS_MAX + 2] = {"oncesinkd"};
    int argc = 1;

    for (; args[argc - 1] != NULL; argc++) {
        assert_true(argc <= ARGS_MAX);
        argv[argc] = args[argc - 1];
    }
    *err = (struct err){0};
    return options_parse(argc, argv, options, err);
}

#define ARGS(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void assert_bad(char **args, const char *words)
{
    struct options options;
    struct err err;

    if (parse(args, &options, &err)) {
        fail_msg("'%s' was accepted", args[0] != NULL ? args[0] : "");
    }
    assert_int_equal(err.kind, ERR_USAGE);
    assert_int_equal(err_exit_code(err.kind), 64);
    assert_null(strchr(err.text, '\n'));
    if (strstr(err.text, words) == NULL) {
        fail_msg("no '%s' in: %s", words, err.text);
    }
}

static void a_file_is_run(void **state)
{
    struct options options;
    struct err err;

    (void)state;
    assert_true(parse(ARGS("a.conf"), &options, &err));
    assert_int_equal(options.action, OPTIONS_RUN);
    assert_string_equal(options.config_path, "a.conf");
    assert_false(options.until_end);
    options_deinit(&options);
    assert_true(parse(ARGS("--until-end", "--config", "b.conf"), &options, &err));
    assert_true(options.until_end);
    assert_string_equal(options.config_path, "b.conf");
    options_deinit(&options);
    assert_true(parse(ARGS("--", "--check"), &options, &err));
    assert_string_equal(options.config_path, "--check");
    options_deinit(&options);
}

static void settings_keep_their_order_and_their_equals_signs(void **state)
{
    struct options options;
    struct err err;

    (void)state;
    assert_true(
        parse(ARGS("-X", "a=1", "f", "--set=b= x=y", "-Xc=", "--set", "a=2"), &options, &err));
    assert_int_equal(options.setting_count, 4);
    assert_string_equal(options.settings[0].name, "a");
    assert_string_equal(options.settings[0].value, "1");
    assert_string_equal(options.settings[1].name, "b");
    assert_string_equal(options.settings[1].value, " x=y");
    assert_string_equal(options.settings[2].name, "c");
    assert_string_equal(options.settings[2].value, "");
    assert_string_equal(options.settings[3].value, "2");
    options_deinit(&options);
}

static void actions_are_told_apart(void **state)
{
    static const struct {
        char *option;
        enum options_action action;
    } CASES[] = {
        {"--check", OPTIONS_CHECK},
        {"--status", OPTIONS_STATUS},
        {"--help", OPTIONS_HELP},
        {"-?", OPTIONS_HELP},
        {"--version", OPTIONS_VERSION},
        {"-V", OPTIONS_VERSION},
#ifdef ONCESINK_FAILPOINTS
        {"--failpoints", OPTIONS_FAILPOINTS},
#endif
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct options options;
        struct err err;

        assert_true(parse(ARGS(CASES[i].option, "f"), &options, &err));
        assert_int_equal(options.action, CASES[i].action);
        options_deinit(&options);
    }
}

static void bad_usage_is_named(void **state)
{
    (void)state;
    assert_bad((char *[]){NULL}, "FILE");
    assert_bad(ARGS("--check"), "FILE");
    assert_bad(ARGS("a", "b"), "b");
    assert_bad(ARGS("--config", "a", "b"), "b");
    assert_bad(ARGS(""), "empty");
    assert_bad(ARGS("--wrong", "f"), "--wrong");
    assert_bad(ARGS("f", "--check", "--wrong=1"), "--wrong=1");
    assert_bad(ARGS("-q", "f"), "-q");
    assert_bad(ARGS("-Vq", "f"), "-Vq");
    assert_bad(ARGS("--check=1", "f"), "--check=1");
    assert_bad(ARGS("f", "--set"), "--set");
    assert_bad(ARGS("f", "-X"), "-X");
    assert_bad(ARGS("f", "--set", "novalue"), "novalue");
    assert_bad(ARGS("--check", "--status", "f"), "--status");
    assert_bad(ARGS("--status", "--check", "f"), "--status");
    assert_bad(ARGS("--status", "--until-end", "f"), "--until-end");
#ifndef ONCESINK_FAILPOINTS
    assert_bad(ARGS("--failpoints"), "--failpoints");
#endif
}

static char *told(char *option)
{
    struct options options;
    struct err err;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_true(parse(ARGS(option), &options, &err));
    assert_true(options_inform(&options, "LIBRARIES 1.2", out));
    options_deinit(&options);
    fclose(out);
    return text;
}

static void help_and_version_are_told(void **state)
{
    struct options run = {.action = OPTIONS_RUN};
    char *text = told("--version");

    (void)state;
    assert_non_null(strstr(text, "oncesinkd "));
    assert_non_null(strstr(text, "LIBRARIES 1.2"));
    free(text);
    text = told("--help");
    assert_non_null(strstr(text, "--until-end"));
    assert_non_null(strstr(text, "batch.interval.ms"));
    free(text);
    assert_false(options_inform(&run, "", stdout));
}

static void the_settings_in_force_are_the_file_s_and_set_s(void **state)
{
    struct options options;
    struct err err;
    struct config *config = NULL;

    (void)state;
    assert_true(parse(ARGS("/dev/null", "-X", "job.name=j", "-X", "input.topics=a", "-X",
                           "bootstrap.servers=h:1"),
                      &options, &err));
    assert_true(options_configure(&options, 0, &config, &err));
    assert_string_equal(config->ledger_path, "j.db");
    config_free(config);
    options_deinit(&options);
    assert_true(parse(ARGS("/dev/null", "-X", "log.level=loud"), &options, &err));
    assert_false(options_configure(&options, 0, &config, &err));
    assert_int_equal(err_exit_code(err.kind), 78);
    assert_non_null(strstr(err.text, "--set: log.level = loud"));
    options_deinit(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_run),
        cmocka_unit_test(settings_keep_their_order_and_their_equals_signs),
        cmocka_unit_test(actions_are_told_apart),
        cmocka_unit_test(bad_usage_is_named),
        cmocka_unit_test(help_and_version_are_told),
        cmocka_unit_test(the_settings_in_force_are_the_file_s_and_set_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
