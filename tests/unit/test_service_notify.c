/* What the service manager is told, read from the other end of a real socket. */
#include "service_notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_MAX = 1024 };

static int manager = -1;
static char name[128];

/* The next message, "" when there is none. */
static const char *heard(void)
{
    static char text[TEXT_MAX];
    ssize_t size = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static int set_up(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int size =
        snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "oncesink-test-%ld", (long)getpid());

    (void)state;
    manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(manager, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size)),
                     0);
    snprintf(name, sizeof(name), "@%s", at.sun_path + 1);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(manager);
    return 0;
}

static void it_tells_ready_status_and_stopping_in_this_order(void **state)
{
    struct service service;

    (void)state;
    service_open(&service);
    service_step(&service, 1000);
    assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=60000000\n");
    service_status(&service, "asking");
    service_ready(&service, 1001);
    assert_string_equal(heard(), "READY=1\nSTATUS=asking\n");
    service_status(&service, "idle\nor not");
    service_step(&service, 1500);
    assert_string_equal(heard(), ""); /* a second hasn't passed */
    service_step(&service, 2001);
    assert_string_equal(heard(), "STATUS=idle or not\n");
    service_status(&service, "idle\nor not");
    service_step(&service, 9000);
    assert_string_equal(heard(), ""); /* no news, and no watchdog is wanted */
    service_stopping(&service, 9001);
    assert_string_equal(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000\n");
    service_step(&service, 14001);
    assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=60000000\n");
    service_close(&service);
    assert_string_equal(heard(), "");
}

static void a_sign_of_life_comes_four_times_in_the_time_allowed(void **state)
{
    struct service service;
    unsigned signs = 0;

    (void)state;
    setenv("WATCHDOG_USEC", "2000000", 1);
    service_open(&service);
    service_ready(&service, 0);
    assert_string_equal(heard(), "READY=1\nWATCHDOG=1\n");
    for (int64_t now_ms = 10; now_ms <= 10000; now_ms += 10) {
        service_step(&service, now_ms);
        signs += strcmp(heard(), "WATCHDOG=1\n") == 0;
    }
    assert_int_equal(signs, 20);
    service_close(&service);
}

static void a_watchdog_of_another_process_is_not_ours(void **state)
{
    struct service service;

    (void)state;
    setenv("WATCHDOG_USEC", "2000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    service_open(&service);
    service_ready(&service, 0);
    assert_string_equal(heard(), "READY=1\n");
    service_close(&service);
}

static void what_a_busy_manager_cant_take_is_sent_later(void **state)
{
    struct service service;
    unsigned filled = 0;

    (void)state;
    setenv("WATCHDOG_USEC", "1000", 1);
    service_open(&service);
    for (int64_t now_ms = 0; now_ms < 100000; now_ms += 1000) {
        service_step(&service, now_ms);
        filled++;
    }
    service_status(&service, "all is well");
    service_ready(&service, 200000); /* the queue is full */
    while (strstr(heard(), "EXTEND") != NULL) {
        filled--;
    }
    assert_true(filled > 0);
    service_step(&service, 200001);
    assert_string_equal(heard(), "READY=1\nSTATUS=all is well\nWATCHDOG=1\n");
    service_close(&service);
}

static void the_last_words_are_said_when_it_ends(void **state)
{
    struct service service;

    (void)state;
    service_open(&service);
    service_status(&service, "one");
    service_stopping(&service, 10);
    assert_non_null(strstr(heard(), "STATUS=one\n"));
    service_status(&service, "two");
    service_step(&service, 11);
    assert_string_equal(heard(), "");
    service_close(&service);
    assert_non_null(strstr(heard(), "STATUS=two\n"));
}

static void without_a_manager_nothing_is_said(void **state)
{
    static const char *const NAMES[] = {"", "relative", "vsock:2:1", "/nowhere/at/all"};

    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct service service;

        setenv("NOTIFY_SOCKET", NAMES[i], 1);
        service_open(&service);
        service_ready(&service, 0);
        service_step(&service, 100000);
        service_close(&service);
        assert_string_equal(heard(), "");
    }
    service_close(&(struct service){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_tells_ready_status_and_stopping_in_this_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sign_of_life_comes_four_times_in_the_time_allowed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_watchdog_of_another_process_is_not_ours, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_busy_manager_cant_take_is_sent_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_last_words_are_said_when_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_manager_nothing_is_said, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
