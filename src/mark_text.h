/* The text of a mark: who committed an offset of the group, and for which batch (T4):
 *
 *     UUID/INCARNATION/MODE/BATCH/SLICE/SLICES
 *
 * UUID: 32 hex digits. INCARNATION: 8 hex digits. MODE: idempotent or transactional. The rest is
 * decimal; idempotent marks have 1/1. Pure; any thread. */
#ifndef MARK_TEXT_H
#define MARK_TEXT_H

#include "batch.h"

enum { MARK_TEXT_SIZE = 128 };

struct mark_text {
    char uuid[UUID_SIZE];
    char incarnation[INCARNATION_SIZE];
    enum delivery delivery;
    int64_t batch;
    int64_t slice;
    int64_t slices;
};

/* Writes the text with its end; MARK_TEXT_SIZE always suffices. */
void mark_text_format(const struct mark_text *mark, char text[MARK_TEXT_SIZE]);

/* false for any text that mark_text_format doesn't write, the empty one and NULL included. */
bool mark_text_parse(const char *text, struct mark_text *mark_out);

#endif
