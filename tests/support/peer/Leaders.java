import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;

/**
 * Commands about a cluster's leaders. Whoever leads a partition of __consumer_offsets or
 * __transaction_state coordinates the groups or transactions in it, so moving those leaders moves
 * coordinators.
 */
final class Leaders {
    private static final long WAIT_S_MAX = 30;

    private Leaders() {
    }

    /** {"topics": [NAME]} → {NAME: {PARTITION: {"leader": ID or -1, "in_sync": N}}}. */
    static ObjectNode tell(Peer.Call call) throws Exception {
        ObjectNode result = Peer.JSON.createObjectNode();
        describe(call).forEach((partition, info) -> result.withObject("/" + partition.topic())
            .putObject(Integer.toString(partition.partition()))
            .put("leader", info.leader() == null ? -1 : info.leader().id())
            .put("in_sync", info.isr().size()));
        return result;
    }

    /**
     * {"topics": [NAME], "seed": N} → {"moved": N}. Each partition gets a leader drawn from its
     * replicas in sync, as far as the cluster's state of the moment lets it: the drawn one becomes
     * the first replica, and the first replica is elected.
     */
    static ObjectNode move(Peer.Call call) throws Exception {
        Random random = new Random(call.number("seed", 1));
        Admin admin = Clients.admin(call.bootstrap());
        Map<TopicPartition, Optional<NewPartitionReassignment>> orders = new HashMap<>();
        describe(call).forEach((partition, info) -> {
            if (!info.isr().isEmpty()) {
                int first = info.isr().get(random.nextInt(info.isr().size())).id();
                List<Integer> order = new ArrayList<>(List.of(first));
                info.replicas().stream().map(node -> node.id()).filter(id -> id != first)
                    .forEach(order::add);
                orders.put(partition, Optional.of(new NewPartitionReassignment(order)));
            }
        });
        admin.alterPartitionReassignments(orders).all().get(WAIT_S_MAX, TimeUnit.SECONDS);
        long moved = admin.electLeaders(ElectionType.PREFERRED, orders.keySet()).partitions()
            .get(WAIT_S_MAX, TimeUnit.SECONDS).values().stream().filter(Optional::isEmpty).count();
        return Peer.JSON.createObjectNode().put("moved", moved);
    }

    private static Map<TopicPartition, TopicPartitionInfo> describe(Peer.Call call)
        throws Exception {
        Map<TopicPartition, TopicPartitionInfo> result = new HashMap<>();
        for (TopicDescription topic : Clients.admin(call.bootstrap())
            .describeTopics(Topics.texts(call.request().get("topics"))).allTopicNames()
            .get(WAIT_S_MAX, TimeUnit.SECONDS).values()) {
            topic.partitions().forEach(info ->
                result.put(new TopicPartition(topic.name(), info.partition()), info));
        }
        return result;
    }
}
