/* A run's batches as text: a table for people, or a JSON object a line for machines. */
#ifndef TOOLS_SIM_PRINT_H
#define TOOLS_SIM_PRINT_H

#include "sim_job.h"

#include <stdio.h>

/* The table's heading; JSON has none. */
void sim_print_heading(size_t partitions, FILE *out);

void sim_print_batch(const struct sim_batch *batch, size_t partitions, FILE *out);
void sim_print_batch_json(const struct sim_batch *batch, size_t partitions, FILE *out);

#endif
