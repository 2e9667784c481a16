import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Commands about topics: make, change, delete, describe, and where their logs begin and end. */
final class Topics {
    private static final long WAIT_MS_MAX = 30_000;

    private Topics() {
    }

    /** {"topics": {NAME: {"partitions": N, "configs": {...}}}}; returns when all have leaders. */
    static ObjectNode create(Peer.Call call) throws Exception {
        List<NewTopic> wanted = new ArrayList<>();
        List<String> names = new ArrayList<>();
        call.request().get("topics").properties().forEach(entry -> {
            NewTopic topic = new NewTopic(entry.getKey(),
                Optional.of(entry.getValue().get("partitions").asInt()), Optional.empty());
            topic.configs(configs(entry.getValue().get("configs")));
            wanted.add(topic);
            names.add(entry.getKey());
        });
        Admin admin = Clients.admin(call.bootstrap());
        admin.createTopics(wanted).all().get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        awaitLeaders(admin, names);
        return Peer.JSON.createObjectNode();
    }

    /** {"topics": [NAME]}; returns when they are gone. */
    static ObjectNode delete(Peer.Call call) throws Exception {
        List<String> names = texts(call.request().get("topics"));
        Admin admin = Clients.admin(call.bootstrap());
        admin.deleteTopics(names).all().get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        long deadline = System.nanoTime() + WAIT_MS_MAX * 1_000_000;
        while (System.nanoTime() < deadline) {
            Collection<String> there =
                admin.listTopics().names().get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
            if (names.stream().noneMatch(there::contains)) {
                return Peer.JSON.createObjectNode();
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("topics are still there: " + names);
    }

    /** {"before": {TOPIC: {PARTITION: OFFSET}}}: deletes what lies below; -1 deletes all. */
    static ObjectNode deleteRecords(Peer.Call call) throws Exception {
        Map<TopicPartition, RecordsToDelete> wanted = new HashMap<>();
        offsets(call.request().get("before")).forEach(
            (partition, offset) -> wanted.put(partition, RecordsToDelete.beforeOffset(offset)));
        Clients.admin(call.bootstrap()).deleteRecords(wanted).all()
            .get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        return Peer.JSON.createObjectNode();
    }

    /** {"topic": NAME, "count": TOTAL}. */
    static ObjectNode addPartitions(Peer.Call call) throws Exception {
        Admin admin = Clients.admin(call.bootstrap());
        String topic = call.text("topic", null);
        int count = (int) call.number("count", 0);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(count))).all()
            .get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        long deadline = System.nanoTime() + WAIT_MS_MAX * 1_000_000;
        while (awaitLeaders(admin, List.of(topic)).get(topic).partitions().size() < count) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException(topic + ": the new partitions don't appear");
            }
            Thread.sleep(50);
        }
        return Peer.JSON.createObjectNode();
    }

    static ObjectNode describe(Peer.Call call) throws Exception {
        ObjectNode result = Peer.JSON.createObjectNode();
        Admin admin = Clients.admin(call.bootstrap());
        for (TopicDescription topic : admin.describeTopics(texts(call.request().get("topics")))
            .allTopicNames().get(WAIT_MS_MAX, TimeUnit.MILLISECONDS).values()) {
            result.putObject(topic.name()).put("partitions", topic.partitions().size())
                .put("topic_id", topic.topicId().toString());
        }
        return result;
    }

    /** {"topic": NAME, "configs": {NAME: VALUE}}. */
    static ObjectNode alterConfigs(Peer.Call call) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        configs(call.request().get("configs")).forEach((name, value) -> changes.add(
            new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        ConfigResource topic =
            new ConfigResource(ConfigResource.Type.TOPIC, call.text("topic", null));
        Clients.admin(call.bootstrap()).incrementalAlterConfigs(Map.of(topic, changes)).all()
            .get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        return Peer.JSON.createObjectNode();
    }

    /** {"topics": [NAME]} → {NAME: {PARTITION: {"start": N, "high": N, "stable": N}}}. */
    static ObjectNode ends(Peer.Call call) throws Exception {
        Admin admin = Clients.admin(call.bootstrap());
        List<TopicPartition> partitions = partitionsOf(admin, texts(call.request().get("topics")));
        Map<TopicPartition, Long> start = listed(admin, partitions, OffsetSpec.earliest(), false);
        Map<TopicPartition, Long> high = listed(admin, partitions, OffsetSpec.latest(), false);
        Map<TopicPartition, Long> stable = listed(admin, partitions, OffsetSpec.latest(), true);
        ObjectNode result = Peer.JSON.createObjectNode();
        for (TopicPartition partition : partitions) {
            result.withObject("/" + partition.topic())
                .putObject(Integer.toString(partition.partition()))
                .put("start", start.get(partition)).put("high", high.get(partition))
                .put("stable", stable.get(partition));
        }
        return result;
    }

    static Map<TopicPartition, Long> listed(Admin admin, List<TopicPartition> partitions,
        OffsetSpec which, boolean committed) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        partitions.forEach(partition -> asked.put(partition, which));
        IsolationLevel isolation =
            committed ? IsolationLevel.READ_COMMITTED : IsolationLevel.READ_UNCOMMITTED;
        Map<TopicPartition, ListOffsetsResult.ListOffsetsResultInfo> answer =
            admin.listOffsets(asked, new ListOffsetsOptions(isolation)).all()
                .get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
        Map<TopicPartition, Long> result = new HashMap<>();
        answer.forEach((partition, info) -> result.put(partition, info.offset()));
        return result;
    }

    static List<TopicPartition> partitionsOf(Admin admin, List<String> topics) throws Exception {
        List<TopicPartition> result = new ArrayList<>();
        Map<String, TopicDescription> found = awaitLeaders(admin, topics);
        for (String topic : topics) {
            for (int partition = 0; partition < found.get(topic).partitions().size();
                partition++) {
                result.add(new TopicPartition(topic, partition));
            }
        }
        return result;
    }

    static Map<String, TopicDescription> awaitLeaders(Admin admin, List<String> topics)
        throws Exception {
        long deadline = System.nanoTime() + WAIT_MS_MAX * 1_000_000;
        while (System.nanoTime() < deadline) {
            try {
                Map<String, TopicDescription> found = admin.describeTopics(topics)
                    .allTopicNames().get(WAIT_MS_MAX, TimeUnit.MILLISECONDS);
                if (found.values().stream().allMatch(topic -> topic.partitions().stream()
                    .allMatch(partition -> partition.leader() != null))) {
                    return found;
                }
            } catch (ExecutionException trouble) {
                if (!(trouble.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw trouble;
                }
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("no leaders for " + topics);
    }

    static List<String> texts(JsonNode list) {
        List<String> result = new ArrayList<>();
        list.forEach(item -> result.add(item.asText()));
        return result;
    }

    /** {TOPIC: {PARTITION: OFFSET}} */
    static Map<TopicPartition, Long> offsets(JsonNode node) {
        Map<TopicPartition, Long> result = new HashMap<>();
        if (node != null && !node.isNull()) {
            node.properties().forEach(topic -> topic.getValue().properties().forEach(
                partition -> result.put(
                    new TopicPartition(topic.getKey(), Integer.parseInt(partition.getKey())),
                    partition.getValue().asLong())));
        }
        return result;
    }

    private static Map<String, String> configs(JsonNode node) {
        Map<String, String> result = new HashMap<>();
        if (node != null) {
            node.properties().forEach(
                entry -> result.put(entry.getKey(), entry.getValue().asText()));
        }
        return result;
    }
}
