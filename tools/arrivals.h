/* A load: how many records arrive when, partition by partition; read line by line as time goes on.
 *
 *     SECOND RECORDS,…          one number a partition, the same count in every line
 *
 * Seconds count from the job's start, ascend, and may be left out (nothing arrives then). A
 * second's records arrive evenly over it: of N records floor(N × ms / 1000) are there after so many
 * milliseconds. What arrives in a second below 0 is there at the start. Memory: one line. */
#ifndef TOOLS_ARRIVALS_H
#define TOOLS_ARRIVALS_H

#include "lines.h"

struct arrivals {
    struct lines *lines;
    size_t partitions;
    int64_t *whole; /* arrived with the seconds that are over; one a partition */
    int64_t total;  /* in all lines read, that of `second` included */
    int64_t second; /* of the line that is arriving, or comes next */
    int64_t *arriving;
    size_t size;
    bool over; /* no such line */
};

/* Reads the first line, which tells the number of partitions; an input without one is an error. The
 * lines must outlive it. After an error it can only be freed. */
MUST_CHECK bool arrivals_open(struct arrivals *arrivals, struct lines *lines, struct err *err);
void arrivals_deinit(struct arrivals *arrivals);

/* How many records of each partition have arrived by that time after the start. Times of successive
 * calls don't descend. */
MUST_CHECK bool arrivals_until(struct arrivals *arrivals, int64_t at_ms, int64_t *ends_out,
                               struct err *err);

/* All have arrived by the time last asked for; else *next_out is a time before which nothing more
 * comes. */
bool arrivals_are_over(const struct arrivals *arrivals, int64_t *next_out);

#endif
