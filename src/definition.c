/* The definition of the next plan. */
#include "definition.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int compare_inputs(const void *a, const void *b)
{
    return strcmp(((const struct definition_input *)a)->topic,
                  ((const struct definition_input *)b)->topic);
}

static int compare_outputs(const void *a, const void *b)
{
    return strcmp(((const struct definition_output *)a)->topic,
                  ((const struct definition_output *)b)->topic);
}

static bool there(const struct topic_facts *facts, const char *topic,
                  const struct topic_fact **fact_out, struct err *err)
{
    const struct topic_fact *fact = topic_facts_find(facts, topic);

    if (fact == NULL || fact->partitions <= 0) {
        return err_set(err, ERR_DECISION, 0,
                       "the topic '%s' isn't there: create it, or mend the name in the settings",
                       topic);
    }
    *fact_out = fact;
    return true;
}

static bool make_output(const struct topic_facts *facts, const char *topic,
                        struct definition *definition, struct err *err)
{
    const struct topic_fact *fact = NULL;
    struct definition_output *output;

    for (size_t i = 0; i < definition->output_count; i++) {
        if (strcmp(definition->outputs[i].topic, topic) == 0) {
            return true;
        }
    }
    if (!there(facts, topic, &fact, err)) {
        return false;
    }
    assert(fact != NULL);
    output = &definition->outputs[definition->output_count++];
    output->topic = mem_text(topic);
    output->partitions = fact->partitions;
    memcpy(output->topic_id, fact->topic_id, TOPIC_ID_SIZE);
    return true;
}

static bool make_topics(const struct config *config, const struct topic_facts *facts,
                        struct definition *definition, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < config->input_topics.count; i++) {
        struct definition_input *input = &definition->inputs[definition->input_count++];
        const struct topic_fact *fact = NULL;
        char *output;

        input->topic = mem_text(config->input_topics.items[i]);
        input->error_topic = config_topic_name(config->error_topic, input->topic);
        output = config_topic_name(config->output_topic, input->topic);
        ok = there(facts, input->topic, &fact, err) && make_output(facts, output, definition, err);
        if (ok) {
            assert(fact != NULL);
            memcpy(input->topic_id, fact->topic_id, TOPIC_ID_SIZE);
        }
        free(output);
    }
    return ok;
}

bool definition_make(const struct config *config, const struct topic_facts *facts,
                     struct definition *definition_out, struct err *err)
{
    struct definition definition = {
        .delivery = config->delivery,
        .provenance = config->provenance,
        .partitioner = config->partitioner,
        .isolation = config->isolation,
        .on_data_loss = config->on_data_loss,
        .on_bad_record = config->on_bad_record,
        .inputs = mem_array(config->input_topics.count, sizeof(struct definition_input)),
        .outputs = mem_array(config->input_topics.count, sizeof(struct definition_output)),
    };

    if (!make_topics(config, facts, &definition, err)) {
        definition_deinit(&definition);
        return false;
    }
    qsort(definition.inputs, definition.input_count, sizeof(*definition.inputs), compare_inputs);
    qsort(definition.outputs, definition.output_count, sizeof(*definition.outputs),
          compare_outputs);
    for (size_t i = 0; i < definition.input_count; i++) {
        char *output = config_topic_name(config->output_topic, definition.inputs[i].topic);

        definition.inputs[i].output = (uint32_t)definition_find_output(&definition, output);
        free(output);
    }
    *definition_out = definition;
    return true;
}
