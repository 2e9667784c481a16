/* What a client's complaints mean: texts that librdkafka 2.8 gave when it met Kafka 4.3.1. */
#include "client_trouble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct seen {
    rd_kafka_resp_err_t code;
    const char *reason;
    const char *says; /* what our line must hold */
    bool sure;
} SEEN[] = {
    {RD_KAFKA_RESP_ERR__AUTHENTICATION,
     "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed during "
     "authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 344ms in "
     "state AUTH_REQ)",
     "sasl.username and sasl.password", true},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION,
     "sasl_ssl://k:9093/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL "
     "mechanism: broker's supported mechanisms: SCRAM-SHA-512 (after 301ms in state "
     "AUTH_HANDSHAKE)",
     "SCRAM-SHA-512 (after 301ms in state AUTH_HANDSHAKE): set sasl.mechanisms", true},
    {RD_KAFKA_RESP_ERR__SSL,
     "ssl://k:9093/1: SSL handshake failed: error:0A000086:SSL routines::certificate verify "
     "failed: broker certificate could not be verified, verify that ssl.ca.location is correctly "
     "configured or root CA certificates are installed (install ca-certificates package) (after "
     "45ms in state SSL_HANDSHAKE)",
     "ssl://k:9093/1: the broker's certificate could not be verified", true},
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "ssl://k:9093/bootstrap: Receive failed: error:0A00045C:SSL routines::tlsv13 alert "
     "certificate required: SSL alert number 116 (after 1ms in state APIVERSION_QUERY)",
     "wants a client certificate", true},
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "ssl://k:9093/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad "
     "certificate: SSL alert number 42 (after 1ms in state APIVERSION_QUERY)",
     "wants a client certificate", true},
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "ssl://k:9093/bootstrap: Receive failed: error:0A000416:SSL routines::sslv3 alert certificate "
     "unknown: SSL alert number 46 (after 27ms in state APIVERSION_QUERY)",
     "refused our certificate", true},
    /* what cuts a connection may be a broker that goes down */
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "k:9093/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect "
     "security.protocol configuration (connecting to a SSL listener?) or broker version is < 0.10 "
     "(see api.version.request) (after 1ms in state APIVERSION_QUERY)",
     "security.protocol may have to be SSL or SASL_SSL", false},
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "ssl://k:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker "
     "listener? (after 5ms in state SSL_HANDSHAKE)",
     "security.protocol may have to be PLAINTEXT", false},
    {RD_KAFKA_RESP_ERR__TRANSPORT,
     "k:9092/bootstrap: Disconnected: verify that security.protocol is correctly configured, "
     "broker might require SASL authentication (after 2ms in state UP)",
     "security.protocol may have to be SASL_SSL", false},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION,
     "sasl_ssl://k:9093/1: Disconnected: check client SCRAM-SHA-512 credentials and broker logs",
     "check client SCRAM-SHA-512 credentials", false},
    {RD_KAFKA_RESP_ERR__SSL, "ssl://k:9093/1: SSL handshake failed: SSL transport error: No route",
     "No route", false},
    {RD_KAFKA_RESP_ERR__TRANSPORT, "k:9092/1: Connect to ipv4#k:9092 failed: Connection refused",
     "Connection refused", false},
};

static void what_is_seen_is_told_with_its_place_and_the_way_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(SEEN) / sizeof(SEEN[0]); i++) {
        char text[768];

        assert_int_equal(
            client_trouble_describe(SEEN[i].code, SEEN[i].reason, NULL, false, text, sizeof(text)),
            SEEN[i].sure);
        assert_non_null(strstr(text, SEEN[i].says));
        assert_memory_equal(text, SEEN[i].reason, strcspn(SEEN[i].reason, " "));
    }
}

static void why_a_certificate_was_refused_is_said_when_it_is_known(void **state)
{
    static const struct {
        int x509_error;
        const char *says;
    } ERRORS[] = {{9, "valid yet"}, {10, "expired"}, {19, "CA"},   {20, "CA"},
                  {18, "CA"},       {62, "host"},    {64, "host"}, {23, "revoked"}};
    char text[768];

    (void)state;
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(ERRORS[0]); i++) {
        const char *words = client_trouble_certificate(ERRORS[i].x509_error);

        assert_non_null(words);
        assert_non_null(strstr(words, ERRORS[i].says));
        assert_true(client_trouble_describe(RD_KAFKA_RESP_ERR__SSL,
                                            "ssl://k/1: x: certificate verify failed: y", words,
                                            false, text, sizeof(text)));
        assert_string_equal(text + strlen("ssl://k/1: "), words);
        /* of something else it isn't the reason */
        assert_false(client_trouble_describe(RD_KAFKA_RESP_ERR__TRANSPORT, "k/1: Disconnected",
                                             words, false, text, sizeof(text)));
        assert_string_equal(text, "k/1: Disconnected");
    }
    assert_null(client_trouble_certificate(9999));
}

static void a_cut_is_a_cut_once_a_broker_has_answered(void **state)
{
    static const char REASON[] = "k:9092/1: Disconnected: verify that security.protocol is "
                                 "correctly configured, broker might require SASL authentication";
    char text[768];

    (void)state;
    assert_false(client_trouble_describe(RD_KAFKA_RESP_ERR__TRANSPORT, REASON, NULL, true, text,
                                         sizeof(text)));
    assert_string_equal(text, "k:9092/1: the connection was cut");
}

static void a_text_that_is_too_long_is_cut(void **state)
{
    char text[16];

    (void)state;
    memset(text, 'x', sizeof(text));
    client_trouble_describe(RD_KAFKA_RESP_ERR__TRANSPORT, "no colon, and much longer than the room",
                            NULL, false, text, sizeof(text));
    assert_string_equal(text, "no colon, and m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_seen_is_told_with_its_place_and_the_way_out),
        cmocka_unit_test(why_a_certificate_was_refused_is_said_when_it_is_known),
        cmocka_unit_test(a_cut_is_a_cut_once_a_broker_has_answered),
        cmocka_unit_test(a_text_that_is_too_long_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
