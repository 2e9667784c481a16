/* A run's batches as text. The table's columns are separated by blanks, so programs can read it,
 * too. */
#include "sim_print.h"

#include <inttypes.h>

enum { TAKES_WIDTH_MIN = 12, TAKES_WIDTH_MAX = 600, TAKE_WIDTH = 6 };

static int width_of(size_t partitions)
{
    size_t width = partitions < TAKES_WIDTH_MAX ? partitions * TAKE_WIDTH : TAKES_WIDTH_MAX;

    return width < TAKES_WIDTH_MIN   ? TAKES_WIDTH_MIN
           : width > TAKES_WIDTH_MAX ? TAKES_WIDTH_MAX
                                     : (int)width;
}

void sim_print_heading(size_t partitions, FILE *out)
{
    fprintf(out, "%10s  %-*s  %10s  %-10s  %13s  %13s  %10s\n", "tick_ms", width_of(partitions),
            "records", "rate", "limited_by", "scheduling_ms", "processing_ms", "left");
}

void sim_print_batch(const struct sim_batch *batch, size_t partitions, FILE *out)
{
    char rate[24] = "-";
    int left = width_of(partitions);

    fprintf(out, "%10" PRId64 "  ", batch->tick_ms);
    for (size_t i = 0; i < partitions; i++) {
        left -= fprintf(out, "%s%" PRId64, i > 0 ? "," : "", batch->takes[i]);
    }
    if (batch->rate > 0) {
        snprintf(rate, sizeof(rate), "%" PRId64, batch->rate);
    }
    fprintf(out, "%*s  %10s  %-10s  %13" PRId64 "  %13" PRId64 "  %10" PRId64, left > 0 ? left : 0,
            "", rate, LIMITED_WORDS[batch->limited], batch->scheduling_ms, batch->processing_ms,
            batch->left);
    if (batch->collapsed > 0) {
        fprintf(out, "  and %" PRId64 " missed ticks", batch->collapsed);
    }
    fputc('\n', out);
}

void sim_print_batch_json(const struct sim_batch *batch, size_t partitions, FILE *out)
{
    char rate[24] = "null";

    if (batch->rate > 0) {
        snprintf(rate, sizeof(rate), "%" PRId64, batch->rate);
    }
    fprintf(out, "{\"batch\":%" PRId64 ",\"tick_ms\":%" PRId64 ",\"records\":[", batch->number,
            batch->tick_ms);
    for (size_t i = 0; i < partitions; i++) {
        fprintf(out, "%s%" PRId64, i > 0 ? "," : "", batch->takes[i]);
    }
    fprintf(out,
            "],\"rate\":%s,\"limited_by\":\"%s\",\"scheduling_ms\":%" PRId64
            ",\"processing_ms\":%" PRId64 ",\"left\":%" PRId64 ",\"missed_ticks\":%" PRId64 "}\n",
            rate, LIMITED_WORDS[batch->limited], batch->scheduling_ms, batch->processing_ms,
            batch->left, batch->collapsed);
}
