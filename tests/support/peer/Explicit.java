import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** Commands for small tables of records that the test spells out itself, bytes in base64. */
final class Explicit {
    private Explicit() {
    }

    /**
     * {"records": [{"topic", "partition", "key", "value", "headers": [[NAME, VALUE]],
     * "timestamp"}], "codec": NAME} → {"offsets": [N]}. A timestamp of -1 is sent as -1.
     */
    static ObjectNode produce(Peer.Call call) throws Exception {
        ObjectNode result = Peer.JSON.createObjectNode();
        ArrayNode offsets = result.putArray("offsets");
        try (KafkaProducer<byte[], byte[]> producer =
            Clients.producer(call.bootstrap(), call.text("codec", "none"), null)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode wanted : call.request().get("records")) {
                sent.add(producer.send(record(wanted)));
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) {
                offsets.add(one.get().offset());
            }
        }
        return result;
    }

    /** {"from": {...}, "to": {...}, "isolation": ...} → {"records": [...]}, by partition. */
    static ObjectNode fetch(Peer.Call call) throws Exception {
        ObjectNode result = Peer.JSON.createObjectNode();
        ArrayNode records = result.putArray("records");
        Map<TopicPartition, Long> from = Topics.offsets(call.request().get("from"));
        Map<TopicPartition, Long> to = Topics.offsets(call.request().get("to"));
        String isolation = call.text("isolation", "read_uncommitted");
        Reading.range(call.bootstrap(), isolation, from, to, found -> {
            ObjectNode node = records.addObject().put("topic", found.topic())
                .put("partition", found.partition()).put("offset", found.offset())
                .put("timestamp", found.timestamp())
                .put("timestamp_type", found.timestampType().toString())
                .put("key", found.key()).put("value", found.value());
            ArrayNode headers = node.putArray("headers");
            for (Header header : found.headers()) {
                headers.addArray().add(header.key()).add(header.value());
            }
        });
        return result;
    }

    private static byte[] bytes(JsonNode node) throws IOException {
        return node == null || node.isNull() ? null : node.binaryValue();
    }

    private static ProducerRecord<byte[], byte[]> record(JsonNode wanted) throws Exception {
        List<Header> headers = new ArrayList<>();
        if (wanted.has("headers")) {
            for (JsonNode pair : wanted.get("headers")) {
                headers.add(new RecordHeader(pair.get(0).asText(), bytes(pair.get(1))));
            }
        }
        JsonNode timestamp = wanted.get("timestamp");
        Long asked = timestamp == null || timestamp.isNull() ? null : timestamp.asLong();
        boolean none = asked != null && asked < 0;
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(wanted.get("topic").asText(),
            wanted.get("partition").asInt(), none ? Long.valueOf(0) : asked,
            bytes(wanted.get("key")), bytes(wanted.get("value")), headers);
        if (none) {
            // The client refuses "no timestamp" in its constructor only; the protocol allows it.
            Field field = ProducerRecord.class.getDeclaredField("timestamp");
            field.setAccessible(true);
            field.set(record, asked);
        }
        return record;
    }
}
