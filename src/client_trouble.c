/* What a client's complaint about a broker means.
 *
 * librdkafka tells of a refused log-in and of a wrong port by error events with a code and a text.
 * The code alone doesn't tell them apart: a broker that is just going down in mid-handshake may
 * come as a log-in error too, and a client certificate that was refused as a broken connection,
 * because in TLS 1.3 the broker's alert comes after the handshake. So the texts are looked at, by
 * one table. A text that no row knows keeps librdkafka's words.
 *
 * That plaintext met a TLS listener, or TLS a plaintext one, shows only as a connection that is cut
 * at its first request. A load balancer without a broker behind it does the same: likely, not
 * sure. */
#include "client_trouble.h"

#include <stdio.h>
#include <string.h>

#define CERTIFICATE "certificate verify failed"
#define NO_CLIENT_CERTIFICATE                                                                      \
    "the broker wants a client certificate that it trusts: ssl.certificate.location and "          \
    "ssl.key.location (or .pem), signed by a CA of the broker's truststore"
#define CLIENT_CERTIFICATE                                                                         \
    "the broker refused our certificate (ssl.certificate.location or .pem): expired, revoked, or " \
    "signed by a CA that the broker doesn't trust"

static const struct row {
    const char *pattern; /* of librdkafka's text */
    const char *words;
    bool sure;
    bool add; /* librdkafka's words go before ours: they hold what the broker said */
} ROWS[] = {
    {"SASL authentication error",
     "the user or its password isn't the broker's: sasl.username and sasl.password", .sure = true,
     .add = true},
    {"Unsupported SASL mechanism", "set sasl.mechanisms to one of these", .sure = true,
     .add = true},
    {"not valid in current SASL state",
     "this listener takes no SASL log-in: security.protocol without SASL, or another port",
     .sure = true},
    {CERTIFICATE,
     "the broker's certificate could not be verified: ssl.ca.location must hold its CA's",
     .sure = true},
    {"SSL alert number 116", NO_CLIENT_CERTIFICATE, .sure = true},
    /* what Java before 19 says when none came (none is sent that isn't of a CA the broker names) */
    {"SSL alert number 42", NO_CLIENT_CERTIFICATE, .sure = true},
    {"SSL alert number 43", CLIENT_CERTIFICATE, .sure = true},
    {"SSL alert number 44", CLIENT_CERTIFICATE, .sure = true},
    {"SSL alert number 45", CLIENT_CERTIFICATE, .sure = true},
    {"SSL alert number 46", CLIENT_CERTIFICATE, .sure = true},
    {"SSL alert number 48", CLIENT_CERTIFICATE, .sure = true},
    {"connecting to a SSL listener?",
     "the broker closes the connection at the first request, as a TLS listener does: "
     "security.protocol may have to be SSL or SASL_SSL, or the port another",
     .sure = false},
    {"connecting to a PLAINTEXT broker listener?",
     "the broker closes the connection in the TLS handshake, as a listener without TLS does: "
     "security.protocol may have to be PLAINTEXT or SASL_PLAINTEXT, or the port another",
     .sure = false},
    {"broker might require SASL",
     "the broker closes the connection at the first request, as a listener with a SASL log-in "
     "does: security.protocol may have to be SASL_SSL or SASL_PLAINTEXT, or the port another",
     .sure = false},
};

/* A connection that ended in mid-handshake is no refusal. */
static bool is_cut(const char *reason)
{
    static const char *const CUTS[] = {"Disconnected", "transport error", "timed out", "Timed out",
                                       "unexpected eof"};

    for (size_t i = 0; i < sizeof(CUTS) / sizeof(CUTS[0]); i++) {
        if (strstr(reason, CUTS[i]) != NULL) {
            return true;
        }
    }
    return false;
}

bool client_trouble_describe(rd_kafka_resp_err_t code, const char *reason, const char *certificate,
                             bool served, char *text, size_t size)
{
    const char *colon = strstr(reason, ": ");
    int place = colon != NULL ? (int)(colon - reason) : 0;
    bool login = code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
                 code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;

    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        bool known = certificate != NULL && strcmp(row->pattern, CERTIFICATE) == 0;
        const char *words = served && !row->sure ? "the connection was cut" : row->words;

        if (strstr(reason, row->pattern) == NULL) {
            continue;
        }
        snprintf(text, size, "%.*s%s%s", row->add ? (int)strlen(reason) : place, reason,
                 row->add || place > 0 ? ": " : "", known ? certificate : words);
        return row->sure;
    }
    snprintf(text, size, "%s", reason);
    return login && !is_cut(reason);
}

const char *client_trouble_certificate(int x509_error)
{
    /* X509_V_ERR_… of openssl/x509_vfy.h, which never change: the product itself doesn't use
     * OpenSSL. */
    switch (x509_error) {
    case 9:
        return "the broker's certificate isn't valid yet: is this machine's clock right?";
    case 10:
        return "the broker's certificate (or its CA's) has expired: it must be renewed, if this "
               "machine's clock is right";
    case 2:
    case 18:
    case 19:
    case 20:
    case 21:
        return "the broker's certificate is signed by a CA that isn't known here: ssl.ca.location "
               "must hold that CA's certificate";
    case 23:
        return "the broker's certificate is revoked";
    case 62:
    case 64:
        return "the broker's certificate is for another host: connect to the name that it is for, "
               "or renew it with this name in it";
    default:
        return NULL;
    }
}

const char *client_trouble_settings(const char *reason)
{
    static const struct {
        const char *pattern;
        const char *words;
    } HINTS[] = {
        {"ssl.key", " (is it a readable PEM key, and ssl.key.password its password?)"},
        {"ssl.ca", " (is it a readable file of PEM certificates?)"},
        {"ssl.certificate", " (is it a readable PEM certificate?)"},
        {"sasl.kerberos", " (without sasl.mechanisms the log-in is GSSAPI, Kerberos)"},
    };

    for (size_t i = 0; i < sizeof(HINTS) / sizeof(HINTS[0]); i++) {
        if (strstr(reason, HINTS[i].pattern) != NULL) {
            return HINTS[i].words;
        }
    }
    return "";
}
