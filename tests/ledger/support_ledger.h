/* What the ledger's tests share: a directory of their own, a person's connection, outcomes. */
#ifndef SUPPORT_LEDGER_H
#define SUPPORT_LEDGER_H

#include "ledger.h"
#include "support_batch.h"

#include <sqlite3.h>

struct place {
    char directory[64];
    char path[96];
};

/* A fresh directory; removed with what is in it by place_remove. */
void place_make(struct place *place);
void place_remove(struct place *place);

/* Open, or the test fails with the error's text. */
struct ledger *must_open(const struct place *place);
void must_start(struct ledger *ledger, const char *incarnation);

#define must(call)                                                                                 \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            print_error("%s\n", err.text);                                                         \
            fail_msg("%s", #call);                                                                 \
        }                                                                                          \
    } while (0)

/* One integer or text from another connection, as a person's sqlite3 would see it. */
int64_t ask_integer(const struct place *place, const char *sql);
void ask_text(const struct place *place, const char *sql, char *text, size_t size);
/* Runs SQL there, rows are dropped. */
void tell(const struct place *place, const char *sql);

/* The ledger, closed by everybody, becomes what the program of an earlier schema version would have
 * left: the layout of schema/ up to that number, and the rows that fit into it. */
void make_older(const struct place *place, int version);

/* Rows in oncesink_input for `partitions` partitions of a topic, from offset 0. */
void add_inputs(struct ledger *ledger, const char *topic, int32_t partitions);

/* Everything delivered: one output record an input record, in `out` of the same partition. */
struct outcome {
    struct ledger_settlement settlement;
    struct ledger_input *inputs;
    int64_t *input_records;
    struct ledger_output *outputs;
    int64_t *output_records;
    struct rate_estimate rate; /* what the batch makes of it, distinct for each */
};
void outcome_make(struct outcome *outcome_out, const struct batch *batch);
void outcome_free(struct outcome *outcome);

#endif
