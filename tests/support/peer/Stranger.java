import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Command stranger: {"topics": [NAME], "open": [NAME], "rate": 200}: another application that
 * writes to the same topics until it is stopped: plain records, transactions committed and
 * aborted, and on the topics named in "open" one transaction that stays open from the first
 * moment to the stop (then aborted).
 *
 * Each of its records has a header `stranger` whose value is the topic it was written to: in an
 * output it marks what isn't the job's; what a job relays from an input names the input there.
 */
final class Stranger {
    static final String NAME = "stranger";
    private static final int BURST = 5;

    private final SplittableRandom random = new SplittableRandom(77);
    private long written;

    private Stranger() {
    }

    static boolean wrote(String topic, Iterable<Header> headers) {
        for (Header header : headers) {
            if (header.key().equals(NAME) && header.value() != null
                && topic.equals(new String(header.value(), StandardCharsets.UTF_8))) {
                return true;
            }
        }
        return false;
    }

    static ObjectNode run(Peer.Call call) throws Exception {
        Stranger stranger = new Stranger();
        Admin admin = Clients.admin(call.bootstrap());
        List<TopicPartition> targets =
            Topics.partitionsOf(admin, Topics.texts(call.request().get("topics")));
        List<TopicPartition> open = call.request().has("open")
            ? Topics.partitionsOf(admin, Topics.texts(call.request().get("open"))) : List.of();
        long pause = 3 * BURST * 1000L / Math.max(1, call.number("rate", 200));
        String id = "stranger-" + System.nanoTime();
        try (var plain = Clients.producer(call.bootstrap(), "none", null);
            var switching = Clients.producer(call.bootstrap(), "none", id);
            var holding = Clients.producer(call.bootstrap(), "none", id + "-open")) {
            switching.initTransactions();
            if (!open.isEmpty()) {
                holding.initTransactions();
                holding.beginTransaction();
                stranger.burst(holding, open, Math.max(BURST, 2 * open.size()));
                holding.flush();
            }
            for (long turn = 0; !call.stop().get(); turn++) {
                stranger.burst(plain, targets, BURST);
                switching.beginTransaction();
                stranger.burst(switching, targets, 2 * BURST);
                switching.flush();
                if (turn % 2 == 0) {
                    switching.commitTransaction();
                } else {
                    switching.abortTransaction();
                }
                Thread.sleep(Math.max(1, pause));
            }
            if (!open.isEmpty()) {
                holding.abortTransaction();
            }
        }
        return Peer.JSON.createObjectNode().put("written", stranger.written);
    }

    private void burst(KafkaProducer<byte[], byte[]> producer, List<TopicPartition> targets,
        int count) {
        for (int i = 0; i < count; i++) {
            TopicPartition target = targets.get((int) (written++ % targets.size()));
            byte[] value = new byte[20 + random.nextInt(60)];
            random.nextBytes(value);
            List<Header> headers = new ArrayList<>();
            headers.add(new RecordHeader(NAME,
                target.topic().getBytes(StandardCharsets.UTF_8)));
            producer.send(new ProducerRecord<>(target.topic(), target.partition(), null,
                null, value, headers));
        }
    }
}
