import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.TopicPartition;

/**
 * What a request says about inputs and outputs: {"routes": {INPUT: OUTPUT}, "partitioner": "same"
 * or "key", "from": {...}, "to": {...}, "isolation_in": ..., "counts": {OUTPUT: [N, ...]}}.
 * counts are the partition counts that an output has had while the job ran (default: the one it
 * has): a record may be where any of them puts it.
 */
final class Route {
    final Map<String, String> outputOf = new HashMap<>();
    final Map<String, List<Integer>> counts = new HashMap<>();
    final Map<TopicPartition, Long> from;
    final Map<TopicPartition, Long> to;
    final boolean byKey;
    final String isolation;

    Route(Peer.Call call) throws Exception {
        JsonNode request = call.request();
        Admin admin = Clients.admin(call.bootstrap());
        request.get("routes").properties().forEach(
            route -> outputOf.put(route.getKey(), route.getValue().asText()));
        byKey = switch (call.text("partitioner", "same")) {
            case "key" -> true;
            case "same" -> false;
            default -> throw new IllegalArgumentException("no such partitioner");
        };
        isolation = call.text("isolation_in", "read_committed");
        List<TopicPartition> inputs = Topics.partitionsOf(admin, List.copyOf(outputOf.keySet()));
        from = Topics.offsets(request.get("from"));
        to = Topics.listed(admin, inputs, OffsetSpec.latest(),
            isolation.equals("read_committed"));
        to.putAll(Topics.offsets(request.get("to")));
        for (TopicPartition output : Topics.partitionsOf(admin, outputs())) {
            counts.computeIfAbsent(output.topic(), ignored -> new ArrayList<>(List.of(0)))
                .replaceAll(count -> count + 1);
        }
        if (request.has("counts")) {
            request.get("counts").properties().forEach(output -> {
                List<Integer> list = new ArrayList<>();
                output.getValue().forEach(count -> list.add(count.asInt()));
                counts.put(output.getKey(), list);
            });
        }
    }

    List<String> outputs() {
        return outputOf.values().stream().distinct().toList();
    }

    /** The rule's choice: what the partition number is the remainder of, and Java's murmur2. */
    int target(int inputPartition, byte[] key, int count) {
        return byKey && key != null ? BuiltInPartitioner.partitionForKey(key, count)
            : inputPartition % count;
    }
}
