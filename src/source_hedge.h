/* Second readers for ranges that are slow (speculation, limits.md §5).
 *
 * A range that speculation_slow names is read on by a second consumer, from the next record needed,
 * beside the first. Of each record the first copy to arrive is handed out (source_merge.h). When
 * the range is done the slower of the two stops; with the batch all second readers do. One lane
 * does for all of them; it is made when the first range is slow, and kept, without a partition,
 * until it helped nobody. So a batch in which nothing is slow, or nothing is read, costs what it
 * does without.
 *
 *     source_hedge_new → (source_hedge_begin → source_hedge_take…)… → source_hedge_free
 *
 * What goes wrong with a second reader ends that one and nothing else: the first meets it too.
 * Of source_read.c; main thread. */
#ifndef SOURCE_HEDGE_H
#define SOURCE_HEDGE_H

#include "kafka_client.h"
#include "source_part.h"

struct source_hedge;

/* `partitions` as for source_lane_new; `fd` is woken by what second readers bring. */
struct source_hedge *source_hedge_new(const struct config *config, enum client_purpose purpose,
                                      uint32_t partitions, int fd);

/* Messages taken must be destroyed. Accepts NULL. */
void source_hedge_free(struct source_hedge *hedge);

/* A batch begins: what is left of the last one's ends. `ranges` are borrowed until the next
 * call. `give_back`: returns the lane when it has helped nobody, as another may have more luck;
 * the caller ends it when no message of it is left. Else NULL. Accepts NULL. */
struct source_lane *source_hedge_begin(struct source_hedge *hedge, const struct range *ranges,
                                       size_t count, bool give_back);

/* source_part_take for ranges[index], whose first reader is `first`; when that has nothing, of the
 * second reader. What either brings, the other counts as had. `hedge` may be NULL: the first reader
 * alone. */
MUST_CHECK bool source_hedge_take(struct source_hedge *hedge, size_t index,
                                  struct source_part *first, int fd, int64_t until,
                                  rd_kafka_message_t **messages, size_t max, size_t *count_out,
                                  bool *again_out, struct err *err);

/* ranges[index] was asked for records, and had some, or none, or is done: then its second reader
 * ends. Now and then looks who is
 * slow; readers[i] is the first reader of ranges[i]. `spare`: there is memory for so many readers
 * more; for others those of ranges that are done are left. Accepts NULL. */
MUST_CHECK bool source_hedge_note(struct source_hedge *hedge, size_t index,
                                  struct source_part *const *readers, bool had_some, bool done,
                                  size_t spare, struct err *err);

/* How many second readers there are now. Accepts NULL. */
size_t source_hedge_readers(const struct source_hedge *hedge);

/* ranges[index] goes on elsewhere: its second reader ends. Accepts NULL. */
void source_hedge_stop(struct source_hedge *hedge, size_t index);

/* In how many ms it wants to look who is slow, by source_hedge_note; `most` at most. Accepts
 * NULL. */
int source_hedge_wait_ms(const struct source_hedge *hedge, int most);

#endif
