import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Commands about a consumer group's offsets: read with their metadata, move, delete; and a member. */
final class Groups {
    private static final long WAIT_S_MAX = 30;
    private static final short OFFSET_KEY_VERSION_MAX = 1;   // others are no offsets

    private Groups() {
    }

    /** {"group": NAME} → {TOPIC: {PARTITION: {"offset": N, "metadata": TEXT}}}. */
    static ObjectNode offsets(Peer.Call call) throws Exception {
        Admin admin = Clients.admin(call.bootstrap());
        ObjectNode result = Peer.JSON.createObjectNode();
        Map<TopicPartition, OffsetAndMetadata> found =
            admin.listConsumerGroupOffsets(call.text("group", null))
                .partitionsToOffsetAndMetadata().get(WAIT_S_MAX, TimeUnit.SECONDS);
        found.forEach((partition, committed) -> {
            if (committed != null) {
                result.withObject("/" + partition.topic())
                    .putObject(Integer.toString(partition.partition()))
                    .put("offset", committed.offset()).put("metadata", committed.metadata());
            }
        });
        return result;
    }

    /**
     * {"group": NAME} → {TOPIC: {PARTITION: [MS, ...]}}: when the broker has noted its commits, as
     * __consumer_offsets shows that aren't compacted yet.
     */
    static ObjectNode commits(Peer.Call call) throws Exception {
        String group = call.text("group", null);
        ObjectNode result = Peer.JSON.createObjectNode();
        Admin admin = Clients.admin(call.bootstrap());
        Map<TopicPartition, Long> ends = Topics.listed(admin,
            Topics.partitionsOf(admin, List.of("__consumer_offsets")), OffsetSpec.latest(), true);
        Reading.range(call.bootstrap(), "read_committed", Map.of(), ends, record -> {
            ByteBuffer key = ByteBuffer.wrap(record.key());
            if (key.getShort() <= OFFSET_KEY_VERSION_MAX && text(key).equals(group)
                && record.value() != null) {
                result.withObject("/" + text(key))
                    .withArray("/" + key.getInt()).add(record.timestamp());
            }
        });
        return result;
    }

    private static String text(ByteBuffer from) {
        byte[] bytes = new byte[from.getShort()];
        from.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** {"group": NAME, "offsets": {TOPIC: {PARTITION: OFFSET}}, "metadata": TEXT}. */
    static ObjectNode alter(Peer.Call call) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>();
        Topics.offsets(call.request().get("offsets")).forEach((partition, offset) ->
            wanted.put(partition, new OffsetAndMetadata(offset, call.text("metadata", ""))));
        Clients.admin(call.bootstrap()).alterConsumerGroupOffsets(call.text("group", null), wanted)
            .all().get(WAIT_S_MAX, TimeUnit.SECONDS);
        return Peer.JSON.createObjectNode();
    }

    /**
     * {"group": NAME, "topics": [NAME], "commit": true}: joins as a member, until it is told to stop,
     * and commits the beginnings of all partitions it gets. Returns how many those were.
     */
    static ObjectNode join(Peer.Call call) throws Exception {
        int held = 0;
        try (KafkaConsumer<byte[], byte[]> consumer =
            Clients.consumer(call.bootstrap(), "read_committed", call.text("group", null))) {
            consumer.subscribe(Topics.texts(call.request().get("topics")));
            while (!call.stop().get()) {
                consumer.poll(Duration.ofMillis(50));
                if (call.flag("commit", false) && held == 0 && !consumer.assignment().isEmpty()) {
                    held = consumer.assignment().size();
                    consumer.commitSync(consumer.beginningOffsets(consumer.assignment()).entrySet()
                        .stream().collect(Collectors.toMap(Map.Entry::getKey,
                            each -> new OffsetAndMetadata(each.getValue()))));
                }
            }
        }
        return Peer.JSON.createObjectNode().put("held", held);
    }

    static ObjectNode delete(Peer.Call call) throws Exception {
        Clients.admin(call.bootstrap())
            .deleteConsumerGroups(List.of(call.text("group", null))).all()
            .get(WAIT_S_MAX, TimeUnit.SECONDS);
        return Peer.JSON.createObjectNode();
    }
}
