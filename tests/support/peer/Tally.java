import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Command tally: {"name": ANY, "topics": [NAME]} → {"records": N, "batches": {BATCH: {"TOPIC/
 * PARTITION of the input": N}}}: how many records of each batch the outputs hold, as a
 * reader of "isolation" (default read_uncommitted) sees them now. A tally goes on reading where it stopped the last time,
 * so asking again is cheap; only batches that changed since the last answer are in it, with
 * "all": true every one. With "any": true the first time, records without our header count too, of no batch.
 * {"close": true} ends it.
 */
final class Tally {
    private static final Map<String, Tally> OPEN = new ConcurrentHashMap<>();

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final TreeMap<Long, TreeMap<String, Long>> batches = new TreeMap<>();
    private final TreeMap<Long, TreeMap<String, Long>> changed = new TreeMap<>();
    private final boolean committed;
    private final boolean any;
    private long records;

    private Tally(String bootstrap, String isolation, boolean any) {
        this.any = any;
        consumer = Clients.consumer(bootstrap, isolation);
        committed = isolation.equals("read_committed");
    }

    static ObjectNode run(Peer.Call call) throws Exception {
        String name = call.text("name", "");
        if (call.flag("close", false)) {
            Tally tally = OPEN.remove(name);
            if (tally != null) {
                tally.consumer.close();
            }
            return Peer.JSON.createObjectNode();
        }
        Tally tally = OPEN.computeIfAbsent(name, ignored -> new Tally(call.bootstrap(),
            call.text("isolation", "read_uncommitted"), call.flag("any", false)));
        synchronized (tally) {
            tally.readOn(Clients.admin(call.bootstrap()),
                Topics.texts(call.request().get("topics")));
            return tally.answer(call.flag("all", false));
        }
    }

    private void readOn(Admin admin, List<String> topics) throws Exception {
        List<TopicPartition> partitions = Topics.partitionsOf(admin, topics);
        Map<TopicPartition, Long> high =
            Topics.listed(admin, partitions, OffsetSpec.latest(), committed);
        Map<TopicPartition, Long> known = new HashMap<>();
        consumer.assignment().forEach(
            partition -> known.put(partition, consumer.position(partition)));
        if (!known.keySet().equals(high.keySet())) {
            consumer.assign(partitions);
            partitions.forEach(
                partition -> consumer.seek(partition, known.getOrDefault(partition, 0L)));
        }
        Reading.drain(consumer, high, this::add);
    }

    private void add(ConsumerRecord<byte[], byte[]> record) {
        Provenance from = Provenance.last(record.headers());
        if (from == null) {
            records += any ? 1 : 0;
            return;
        }
        records++;
        TreeMap<String, Long> batch =
            batches.computeIfAbsent(from.batch(), ignored -> new TreeMap<>());
        batch.merge(from.topic() + "/" + from.partition(), 1L, Long::sum);
        changed.put(from.batch(), batch);
    }

    private ObjectNode answer(boolean all) {
        ObjectNode result = Peer.JSON.createObjectNode().put("records", records);
        ObjectNode list = result.putObject("batches");
        (all ? batches : changed).forEach((batch, counts) -> {
            ObjectNode one = list.putObject(Long.toString(batch));
            counts.forEach(one::put);
        });
        changed.clear();
        return result;
    }
}
