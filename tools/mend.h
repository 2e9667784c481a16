/* What reconcile and rebuild share: the positions as ledger, group and outputs have them, side by
 * side; and putting into the ledger what is concluded of them. */
#ifndef TOOLS_MEND_H
#define TOOLS_MEND_H

#include "broker.h"
#include "evidence.h"
#include "ledger.h"
#include "mark_text.h"
#include "scan.h"

struct mend {
    struct broker broker;
    struct ledger *ledger; /* with its lock; NULL: lost */
    struct ledger_identity identity;
    struct definition definition; /* of today */
    struct scan scan;
    struct evidence_place *places; /* every input partition there is */
    size_t place_count;
    struct mark_text mark; /* of the highest batch; batch −1 = the group carries none */
    struct evidence_result result;
    char uuid[UUID_SIZE]; /* the ledger's, or its mark's; "" = not known */
    bool batch_in_doubt;  /* the ledger's own */
    struct batch batch;   /* with batch_in_doubt */
};

/* Reads the settings, opens the ledger (NULL = lost), asks topics and the group's marks.
 * ERR_DECISION: the marks are of another ledger, or of several. */
MUST_CHECK bool mend_ask(struct mend *mend, const char *settings_path, const char *ledger_path,
                         struct err *err);
void mend_deinit(struct mend *mend);

/* The mode whose rules hold: that of the newest mark, else that of the settings. */
enum delivery mend_delivery(const struct mend *mend);

/* Reads the outputs; afterwards the marks must be what they were. */
MUST_CHECK bool mend_scan(struct mend *mend, struct err *err);

/* After evidence_conclude: every source that was found is one of the places; a source of T that
 * nothing else is known of begins where its log begins (it was added since). */
MUST_CHECK bool mend_take_unknown(struct mend *mend, struct err *err);

/* T's records must lie where a batch of today's definition would put them. */
MUST_CHECK bool mend_check_fit(const struct mend *mend, struct err *err);

/* Records are known by their places alone, in the ledger's last batch and by the settings. Then,
 * after mend_scan: the outputs hold more than the ledger and its batch in doubt account for; and
 * the result, instead of evidence_conclude's (mend_place.c). */
bool mend_by_place(const struct mend *mend);
bool mend_is_behind_places(const struct mend *mend);
MUST_CHECK bool mend_conclude_places(struct mend *mend, struct err *err);

/* A table of the positions, or with `json` the members "partitions" and "outputs". */
void mend_print(const struct mend *mend, bool json);

/* Puts the result into the ledger in one transaction, with an event of these words. */
MUST_CHECK bool mend_apply(struct mend *mend, struct ledger *ledger, const char *words,
                           struct err *err);

/* Writes the marks again: each place's `next`, with the text. */
MUST_CHECK bool mend_write_marks(struct mend *mend, const struct mark_text *text, struct err *err);

/* The text as a JSON string. */
void mend_print_json_text(const char *text);

#endif
