#include "support_batch.h"

#include "mem.h"

#include <stdio.h>
#include <string.h>

void sample_definition(struct definition *definition_out, int32_t out_partitions,
                       int32_t other_partitions)
{
    static const char *const INPUTS[] = {"a", "b", "c"};

    *definition_out = (struct definition){
        .inputs = mem_array(3, sizeof(struct definition_input)),
        .input_count = 3,
        .outputs = mem_array(2, sizeof(struct definition_output)),
        .output_count = 2,
    };
    for (size_t i = 0; i < 3; i++) {
        definition_out->inputs[i].topic = mem_text(INPUTS[i]);
        definition_out->inputs[i].error_topic = mem_print("%s_error", INPUTS[i]);
        definition_out->inputs[i].output = i < 2 ? 1 : 0;
    }
    definition_out->outputs[0].topic = mem_text("other");
    definition_out->outputs[0].partitions = other_partitions;
    definition_out->outputs[1].topic = mem_text("out");
    definition_out->outputs[1].partitions = out_partitions;
}

void sample_batch(struct batch *batch_out, int64_t number, int32_t partitions, int64_t from,
                  int64_t records)
{
    *batch_out = (struct batch){
        .number = number,
        .ranges = mem_array((size_t)partitions, sizeof(struct range)),
        .range_count = (size_t)partitions,
        .fences = mem_array((size_t)partitions, sizeof(struct fence)),
        .fence_count = (size_t)partitions,
        .tick_ms = 1700000000000 + number * 1000,
        .started_ms = 1700000000005 + number * 1000,
        .planned_wall_ms = 1700000000006 + number * 1000,
        .limited_by = LIMITED_CAP,
    };
    sample_definition(&batch_out->definition, partitions, 1);
    for (int32_t p = 0; p < partitions; p++) {
        batch_out->ranges[p] = (struct range){.input = 0,
                                              .partition = p,
                                              .from = from,
                                              .until = from + records,
                                              .end = from + 3 * records,
                                              .leader_epoch = 4,
                                              .end_epoch = -1};
        batch_out->fences[p] =
            (struct fence){.topic = mem_text("out"), .partition = p, .offset = 10 * number};
    }
}
