import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/**
 * Command feed: {"topics": {NAME: [PARTITION, ...]}, "count": N, "first": 0, "seed": 1,
 * "size": 100, "style": "mixed", "base_timestamp": MS, "rate": 0, "codec": "none",
 * "transaction": 0, "abort_every": 0}.
 *
 * Writes count records in turn to the partitions named, at most rate a second (0: no limit).
 * With transaction = T > 0 every T records are one Kafka transaction, and every abort_every-th
 * transaction is filled with other records and aborted first, so that count committed records
 * remain in any case. Ends when all are acknowledged.
 */
final class Feed {
    private final Peer.Call call;
    private final List<TopicPartition> targets = new ArrayList<>();
    private final Sample sample;
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final Callback report = (metadata, trouble) -> {
        if (trouble != null) {
            failure.compareAndSet(null, trouble);
        }
    };
    private long aborted;

    private Feed(Peer.Call call) {
        this.call = call;
        call.request().get("topics").properties().forEach(topic -> {
            for (JsonNode partition : topic.getValue()) {
                targets.add(new TopicPartition(topic.getKey(), partition.asInt()));
            }
        });
        sample = new Sample(call.number("seed", 1), (int) call.number("size", 100),
            call.text("style", "mixed"),
            call.number("base_timestamp",
                System.currentTimeMillis() - 60_000 - 2 * call.number("count", 0)));
    }

    static ObjectNode run(Peer.Call call) throws Exception {
        Feed feed = new Feed(call);
        long transaction = call.number("transaction", 0);
        String id = transaction > 0 ? "feed-" + System.nanoTime() : null;
        long sent;
        try (KafkaProducer<byte[], byte[]> producer =
            Clients.producer(call.bootstrap(), call.text("codec", "none"), id)) {
            sent = transaction > 0 ? feed.transactions(producer, transaction)
                : feed.plain(producer);
            producer.flush();
        }
        if (feed.failure.get() != null) {
            throw feed.failure.get();
        }
        return Peer.JSON.createObjectNode().put("sent", sent).put("aborted", feed.aborted);
    }

    private void send(KafkaProducer<byte[], byte[]> producer, long number) {
        TopicPartition target = targets.get((int) (number % targets.size()));
        producer.send(sample.record(number, target.topic(), target.partition()), report);
    }

    private long plain(KafkaProducer<byte[], byte[]> producer) throws InterruptedException {
        long first = call.number("first", 0);
        long count = call.number("count", 0);
        long rate = call.number("rate", 0);
        long began = System.nanoTime();
        long sent = 0;
        while (sent < count && !call.stop().get() && failure.get() == null) {
            send(producer, first + sent);
            sent++;
            if (rate > 0) {
                long ahead = sent * 1_000_000_000L / rate - (System.nanoTime() - began);
                if (ahead > 2_000_000) {
                    Thread.sleep(ahead / 1_000_000);
                }
            }
        }
        return sent;
    }

    private long transactions(KafkaProducer<byte[], byte[]> producer, long size) {
        long first = call.number("first", 0);
        long count = call.number("count", 0);
        long abortEvery = call.number("abort_every", 0);
        producer.initTransactions();
        long sent = 0;
        for (long turn = 1; sent < count && !call.stop().get(); turn++) {
            if (abortEvery > 0 && turn % abortEvery == 0) {
                producer.beginTransaction();
                for (long i = 0; i < size; i++) {
                    send(producer, first + count + aborted++);
                }
                producer.flush();
                producer.abortTransaction();
            }
            producer.beginTransaction();
            for (long i = 0; i < size && sent < count; i++) {
                send(producer, first + sent++);
            }
            producer.commitTransaction();
        }
        return sent;
    }
}
