import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Commands about a consumer group's offsets: read with their metadata, move, delete. */
final class Groups {
    private static final long WAIT_S_MAX = 30;

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

    /** {"group": NAME, "offsets": {TOPIC: {PARTITION: OFFSET}}, "metadata": TEXT}. */
    static ObjectNode alter(Peer.Call call) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>();
        Topics.offsets(call.request().get("offsets")).forEach((partition, offset) ->
            wanted.put(partition, new OffsetAndMetadata(offset, call.text("metadata", ""))));
        Clients.admin(call.bootstrap()).alterConsumerGroupOffsets(call.text("group", null), wanted)
            .all().get(WAIT_S_MAX, TimeUnit.SECONDS);
        return Peer.JSON.createObjectNode();
    }

    static ObjectNode delete(Peer.Call call) throws Exception {
        Clients.admin(call.bootstrap())
            .deleteConsumerGroups(List.of(call.text("group", null))).all()
            .get(WAIT_S_MAX, TimeUnit.SECONDS);
        return Peer.JSON.createObjectNode();
    }
}
