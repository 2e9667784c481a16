/* A run as a picture: batch size, rates and delays over time, three panels of one SVG file. Long
 * runs are thinned out, so memory is constant. */
#ifndef TOOLS_SIM_PLOT_H
#define TOOLS_SIM_PLOT_H

#include "sim_job.h"

#include <stdio.h>

enum { PLOT_SERIES = 5 };

struct plot_point {
    double at_s;                /* its tick */
    double values[PLOT_SERIES]; /* records, rate in force (NaN = none), rate reached, scheduling,
                                   processing (s) */
};

struct plot {
    int64_t interval_ms;
    struct plot_point *points;
    size_t count;
    int64_t stride; /* so many batches make a point */
    int64_t passed;
};

void plot_init(struct plot *plot, int64_t interval_ms);
void plot_deinit(struct plot *plot);

/* Of batches that share a point the one that began latest after its tick is shown. */
void plot_add(struct plot *plot, const struct sim_batch *batch);

void plot_write(const struct plot *plot, FILE *out);

#endif
