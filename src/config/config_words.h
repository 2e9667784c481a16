/* The words that settings are made of, for the table (config_table.c); each list ends with a
 * zero. */
#ifndef CONFIG_WORDS_H
#define CONFIG_WORDS_H

#include "config_table.h"

#include "log.h"

static const struct config_word ISOLATIONS[] = {
    {.word = "read_committed", .value = ISOLATION_READ_COMMITTED},
    {.word = "read_uncommitted", .value = ISOLATION_READ_UNCOMMITTED},
    {0},
};
static const struct config_word PARTITIONERS[] = {
    {.word = "same", .value = PARTITIONER_SAME},
    {.word = "key", .value = PARTITIONER_KEY},
    {0},
};
static const struct config_word PROVENANCES[] = {
    {.word = "headers", .value = PROVENANCE_HEADERS},
    {.word = "positions", .value = PROVENANCE_POSITIONS},
    {.word = "none", .value = PROVENANCE_NONE},
    {0},
};
static const struct config_word DELIVERIES[] = {
    {.word = "idempotent", .value = DELIVERY_IDEMPOTENT},
    {.word = "transactional", .value = DELIVERY_TRANSACTIONAL},
    {.word = "exactly_once_v2", .value = DELIVERY_TRANSACTIONAL, .alias = "processing.guarantee"},
    {0},
};
static const struct config_word FIRST_BATCHES[] = {
    {.word = "unlimited", .value = false},
    {.word = "capped", .value = true},
    {0},
};
static const struct config_word DATA_LOSSES[] = {
    {.word = "stop", .value = ON_DATA_LOSS_STOP},
    {.word = "continue", .value = ON_DATA_LOSS_CONTINUE},
    {0},
};
static const struct config_word BAD_RECORDS[] = {
    {.word = "stop", .value = ON_BAD_RECORD_STOP},
    {.word = "set-aside", .value = ON_BAD_RECORD_SET_ASIDE},
    {.word = "none", .value = ON_BAD_RECORD_STOP, .alias = "errors.tolerance"},
    {.word = "all", .value = ON_BAD_RECORD_SET_ASIDE, .alias = "errors.tolerance"},
    {0},
};
static const struct config_word SQL_ERRORS[] = {
    {.word = "stop", .value = 0},
    {.word = "set-aside", .value = 1},
    {0},
};
static const struct config_word INPUT_VALUES[] = {
    {.word = "text", .value = 0},
    {.word = "blob", .value = 1},
    {0},
};
static const struct config_word LOG_LEVELS[] = {
    {.word = "error", .value = LOG_ERROR},   {.word = "warning", .value = LOG_WARNING},
    {.word = "notice", .value = LOG_NOTICE}, {.word = "info", .value = LOG_INFO},
    {.word = "debug", .value = LOG_DEBUG},   {0},
};

#endif
