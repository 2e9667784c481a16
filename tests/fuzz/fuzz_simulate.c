/* Fuzzes the texts that oncesink-simulate reads. The first byte chooses: rate, split, or a load.
 *
 *   - a text is answered, or refused with one message that names the line;
 *   - what a load says has arrived never becomes less, and no number overflows (UBSan);
 *   - the size of the pieces in which the text comes makes no difference. */
#include "arrivals.h"
#include "mem.h"
#include "simulate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    const char *at, *end;
    size_t piece;
};

static ssize_t read_text(void *arg, char *buffer, size_t size)
{
    struct text *text = arg;
    size_t there = (size_t)(text->end - text->at);

    size = size < there ? size : there;
    size = size < text->piece ? size : text->piece;
    memcpy(buffer, text->at, size);
    text->at += size;
    return (ssize_t)size;
}

static bool load(struct lines *in, FILE *out, struct err *err)
{
    struct arrivals arrivals;
    int64_t *ends = NULL;
    int64_t *before;
    bool done = arrivals_open(&arrivals, in, err);

    if (done) {
        ends = mem_array(arrivals.partitions, sizeof(*ends));
        before = mem_array(arrivals.partitions, sizeof(*before));
        for (int64_t at_ms = 1; done && !arrivals.over && at_ms < INT64_C(10000000000000000);
             at_ms = at_ms * 5 / 3 + 7) {
            done = arrivals_until(&arrivals, at_ms, ends, err);
            for (size_t i = 0; done && i < arrivals.partitions; i++) {
                assert(ends[i] >= before[i]);
                before[i] = ends[i];
                fprintf(out, "%lld\n", (long long)ends[i]);
            }
        }
        free(before);
    }
    free(ends);
    arrivals_deinit(&arrivals);
    return done;
}

/* The answers, and after them the complaint if there was one. */
static char *answers_to(const uint8_t *data, size_t size, simulate_answer answer, size_t piece)
{
    struct text text = {.at = (const char *)data, .end = (const char *)data + size, .piece = piece};
    struct lines in;
    struct err err = {0};
    char *answers = NULL;
    size_t answers_size = 0;
    FILE *out = open_memstream(&answers, &answers_size);

    assert(out != NULL);
    lines_init(&in, (struct lines_source){.read = read_text, .arg = &text}, NULL);
    if (!answer(&in, out, &err)) {
        assert(err.kind == ERR_FAILED);
        assert(strncmp(err.text, "line ", 5) == 0 || strstr(err.text, "no line with") != NULL);
        fprintf(out, "%s\n", err.text);
    }
    lines_deinit(&in);
    fclose(out);
    return answers;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const simulate_answer ANSWERS[] = {simulate_rate, simulate_split, load};
    simulate_answer answer;
    char *whole;
    char *pieces;

    if (size == 0) {
        return 0;
    }
    answer = ANSWERS[data[0] % 3];
    whole = answers_to(data + 1, size - 1, answer, size);
    pieces = answers_to(data + 1, size - 1, answer, 1 + size % 7);
    assert(strcmp(whole, pieces) == 0);
    free(whole);
    free(pieces);
    return 0;
}
