import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.Comparator;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Command copy: what a perfect relay would write, by Apache's client, with faults planted on
 * request. It exists to test the checker: {"routes": ..., "provenance": "headers" or "none",
 * "faults": [{"kind": KIND, "nth": N}]}; nth counts the records of the copy from 0.
 *
 * Kinds: loss, double, swap (with the next record of the same way), key, value (one byte), header
 * (one byte), header_order, header_lost (a header of the record), provenance_lost, timestamp,
 * partition. A fault that finds nothing to damage at nth takes the next record that has it.
 */
final class Copy {
    private final Route route;
    private final boolean headers;
    private final List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
    private final List<TopicPartition> source = new ArrayList<>();

    private Copy(Peer.Call call) throws Exception {
        route = new Route(call);
        headers = call.text("provenance", "headers").equals("headers");
    }

    static ObjectNode run(Peer.Call call) throws Exception {
        Copy copy = new Copy(call);
        Map<TopicPartition, List<ConsumerRecord<byte[], byte[]>>> all =
            new TreeMap<>(Comparator.comparing(TopicPartition::toString));
        Reading.range(call.bootstrap(), copy.route.isolation, copy.route.from, copy.route.to,
            record -> all.computeIfAbsent(new TopicPartition(record.topic(), record.partition()),
                ignored -> new ArrayList<>()).add(record));
        all.values().forEach(list -> list.forEach(copy::add));
        if (call.request().has("faults")) {
            for (JsonNode fault : call.request().get("faults")) {
                copy.plant(fault.get("kind").asText(), fault.get("nth").asInt());
            }
        }
        try (var producer = Clients.producer(call.bootstrap(), "none", null)) {
            List<Future<?>> sent = new ArrayList<>();
            copy.out.forEach(record -> sent.add(producer.send(record)));
            producer.flush();
            for (Future<?> one : sent) {
                one.get();
            }
        }
        return Peer.JSON.createObjectNode().put("written", copy.out.size());
    }

    private void add(ConsumerRecord<byte[], byte[]> record) {
        String topic = route.outputOf.get(record.topic());
        int target =
            route.target(record.partition(), record.key(), route.counts.get(topic).get(0));
        List<Header> list = new ArrayList<>();
        record.headers().forEach(header -> {
            if (!Provenance.is(header)) {
                list.add(header);
            }
        });
        if (headers) {
            list.add(new RecordHeader(Provenance.NAME, new Provenance("0123abcd", "0123456789ab",
                "89abcdef", 1 + record.offset() / 100, record.topic(), record.partition(),
                record.offset(), 0).text().getBytes(StandardCharsets.UTF_8)));
        }
        out.add(new ProducerRecord<>(topic, target, record.timestamp(), record.key(),
            record.value(), list));
        source.add(new TopicPartition(record.topic(), record.partition()));
    }

    private void plant(String kind, int nth) {
        for (int i = nth; i < out.size(); i++) {
            if (plantAt(kind, i)) {
                return;
            }
        }
        throw new IllegalArgumentException("nothing to plant '" + kind + "' in from " + nth);
    }

    private boolean plantAt(String kind, int i) {
        ProducerRecord<byte[], byte[]> old = out.get(i);
        int own = old.headers().toArray().length - (headers ? 1 : 0);
        switch (kind) {
            case "loss":
                out.remove(i);
                source.remove(i);
                return true;
            case "double":
                out.add(i, old);
                source.add(i, source.get(i));
                return true;
            case "swap":
                return swap(i);
            case "key":
                return old.key() != null && old.key().length > 0
                    && replace(i, old, old.partition(), old.timestamp(), bent(old.key()),
                        old.value(), null);
            case "value":
                return old.value() != null && old.value().length > 0
                    && replace(i, old, old.partition(), old.timestamp(), old.key(),
                        bent(old.value()), null);
            case "timestamp":
                return replace(i, old, old.partition(), old.timestamp() + 1, old.key(),
                    old.value(), null);
            case "partition":
                return replace(i, old,
                    (old.partition() + 1) % route.counts.get(old.topic()).get(0),
                    old.timestamp(), old.key(), old.value(), null);
            case "header", "header_order", "header_lost":
                return own >= (kind.equals("header_order") ? 2 : 1)
                    && bendHeaders(kind, i, old);
            case "provenance_lost": {
                List<Header> list = new ArrayList<>(List.of(old.headers().toArray()));
                list.remove(list.size() - 1);
                return replace(i, old, old.partition(), old.timestamp(), old.key(), old.value(),
                    list);
            }
            default:
                throw new IllegalArgumentException("no fault '" + kind + "'");
        }
    }

    private boolean swap(int i) {
        for (int j = i + 1; j < out.size() && source.get(j).equals(source.get(i)); j++) {
            if (out.get(j).partition().equals(out.get(i).partition())) {
                out.set(i, out.set(j, out.get(i)));
                return true;
            }
        }
        return false;
    }

    private boolean bendHeaders(String kind, int i, ProducerRecord<byte[], byte[]> old) {
        List<Header> list = new ArrayList<>(List.of(old.headers().toArray()));
        Header first = list.get(0);
        switch (kind) {
            case "header":
                if (first.value() == null || first.value().length == 0) {
                    return false;
                }
                list.set(0, new RecordHeader(first.key(), bent(first.value())));
                break;
            case "header_order":
                list.set(0, list.get(1));
                list.set(1, first);
                break;
            default:
                list.remove(0);
                break;
        }
        return replace(i, old, old.partition(), old.timestamp(), old.key(), old.value(), list);
    }

    private boolean replace(int i, ProducerRecord<byte[], byte[]> old, int partition,
        long timestamp, byte[] key, byte[] value, List<Header> list) {
        out.set(i, new ProducerRecord<>(old.topic(), partition, timestamp, key, value,
            list == null ? old.headers() : list));
        return true;
    }

    private static byte[] bent(byte[] bytes) {
        byte[] other = bytes.clone();
        other[other.length - 1] ^= 1;
        return other;
    }
}
