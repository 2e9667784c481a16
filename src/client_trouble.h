/* What a client's complaint about a broker means, in words for a person: where, why, the way out.
 * Pure; any thread. */
#ifndef CLIENT_TROUBLE_H
#define CLIENT_TROUBLE_H

#include <librdkafka/rdkafka.h>

#include <stdbool.h>
#include <stddef.h>

/* Makes one line of an error event's code and reason ("PLACE: words of librdkafka"). `certificate`:
 * why the broker's certificate was not accepted (client_trouble_certificate), NULL = unknown.
 * `served`: a broker has answered before, so the settings fit and a connection that is cut was just
 * cut.
 * true when it is told for sure that no log-in can work as the settings and the broker are now; a
 * connection that was cut, for whatever likely reason, is not. */
bool client_trouble_describe(rd_kafka_resp_err_t code, const char *reason, const char *certificate,
                             bool served, char *text, size_t size);

/* Words for an error of OpenSSL's certificate check; NULL when it is none that we have words
 * for. */
const char *client_trouble_certificate(int x509_error);

/* The way out where librdkafka refuses to make a handle for this reason, in brackets; "" = its
 * words are enough. */
const char *client_trouble_settings(const char *reason);

#endif
