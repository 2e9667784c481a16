import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Makes the clients. One Admin per broker lives as long as the process; consumers and producers
 * belong to the command that asked for them, which closes them.
 */
final class Clients {
    private static final Map<String, Admin> ADMINS = new ConcurrentHashMap<>();

    private Clients() {
    }

    static Admin admin(String bootstrap) {
        return ADMINS.computeIfAbsent(bootstrap, servers -> {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", servers);
            settings.put("default.api.timeout.ms", "60000");
            settings.put("reconnect.backoff.max.ms", "200");
            return Admin.create(settings);
        });
    }

    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation) {
        return consumer(bootstrap, isolation, null);
    }

    /** With a group it may subscribe; it begins where nothing is committed at the beginning. */
    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation,
        String group) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("isolation.level", isolation);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", group == null ? "none" : "earliest");
        if (group != null) {
            settings.put("group.id", group);
        }
        settings.put("fetch.max.wait.ms", "20");
        settings.put("max.poll.records", "20000");
        settings.put("max.partition.fetch.bytes", "4194304");
        settings.put("fetch.max.bytes", "33554432");
        settings.put("reconnect.backoff.max.ms", "200");
        settings.put("default.api.timeout.ms", "60000");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(),
            new ByteArrayDeserializer());
    }

    /**
     * acks=all and idempotent; transactional when an id is given (init is left to the caller). One
     * request in flight: with several, a new topic's first request can be refused and its second
     * accepted, and then Apache's client repeats the first without end.
     */
    static KafkaProducer<byte[], byte[]> producer(String bootstrap, String codec,
        String transactionalId) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("max.in.flight.requests.per.connection", "1");
        settings.put("linger.ms", "5");
        settings.put("batch.size", "262144");
        settings.put("buffer.memory", "67108864");
        settings.put("max.request.size", "67108864");
        settings.put("compression.type", codec == null ? "none" : codec);
        settings.put("max.block.ms", "120000");
        settings.put("delivery.timeout.ms", "300000");
        settings.put("reconnect.backoff.max.ms", "200");
        if (transactionalId != null) {
            settings.put("transactional.id", transactionalId);
            settings.put("transaction.timeout.ms", "600000");
        }
        return new KafkaProducer<>(settings, new ByteArraySerializer(),
            new ByteArraySerializer());
    }
}
