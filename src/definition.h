/* The definition of the next plan: the settings of today with the topics as they are (R0). */
#ifndef DEFINITION_H
#define DEFINITION_H

#include "batch.h"
#include "config.h"
#include "err.h"
#include "topic_facts.h"

/* Fails (ERR_DECISION) naming the first topic that isn't there. */
MUST_CHECK bool definition_make(const struct config *config, const struct topic_facts *facts,
                                struct definition *definition_out, struct err *err);

#endif
