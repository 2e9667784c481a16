import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.time.Duration;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * Reads exact ranges. A partition is done when the position has reached its end: records may be
 * missing (compacted), and markers and aborted data take offsets, so nothing is ever counted.
 */
final class Reading {
    private static final long STALL_MS_MAX = 60_000;

    private Reading() {
    }

    /** Reads [from, to) of each partition in `to`; a partition without `from` begins at its start. */
    static void range(String bootstrap, String isolation, Map<TopicPartition, Long> from,
        Map<TopicPartition, Long> to, Consumer<ConsumerRecord<byte[], byte[]>> handler)
        throws Exception {
        Admin admin = Clients.admin(bootstrap);
        Map<TopicPartition, Long> start =
            Topics.listed(admin, List.copyOf(to.keySet()), OffsetSpec.earliest(), false);
        start.replaceAll((partition, offset) ->
            Math.max(offset, from.getOrDefault(partition, 0L)));
        try (KafkaConsumer<byte[], byte[]> consumer = Clients.consumer(bootstrap, isolation)) {
            consumer.assign(to.keySet());
            start.forEach(consumer::seek);
            drain(consumer, to, record -> {
                if (record.offset() < to.get(
                    new TopicPartition(record.topic(), record.partition()))) {
                    handler.accept(record);
                }
            });
        }
    }

    /** Reads an assigned consumer on to the offsets of `to`, or some way beyond: all is handed on. */
    static void drain(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> to,
        Consumer<ConsumerRecord<byte[], byte[]>> handler) {
        Map<TopicPartition, Long> open = new HashMap<>(to);
        open.entrySet().removeIf(entry -> consumer.position(entry.getKey()) >= entry.getValue());
        consumer.resume(open.keySet());
        long moved = System.nanoTime();
        while (!open.isEmpty()) {
            var records = consumer.poll(Duration.ofMillis(100));
            records.forEach(handler);
            var done = open.entrySet().stream()
                .filter(entry -> consumer.position(entry.getKey()) >= entry.getValue())
                .map(Map.Entry::getKey).toList();
            consumer.pause(done);
            open.keySet().removeAll(done);
            if (!records.isEmpty() || !done.isEmpty()) {
                moved = System.nanoTime();
            } else if (System.nanoTime() - moved > STALL_MS_MAX * 1_000_000) {
                throw new IllegalStateException("no progress towards " + open);
            }
        }
    }
}
