import java.util.Arrays;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/** What one input partition holds, as columns: a million records are some 50 MB. */
final class Source {
    final TopicPartition partition;
    final int number;
    int size;
    long[] offset = new long[1024];
    long[] key = new long[1024];
    long[] value = new long[1024];
    long[] headers = new long[1024];
    long[] timestamp = new long[1024];
    int[] target = new int[1024];
    byte[] seen = new byte[1024];

    Source(TopicPartition partition, int number) {
        this.partition = partition;
        this.number = number;
    }

    void add(ConsumerRecord<byte[], byte[]> record, int target) {
        if (size == offset.length) {
            int more = size * 2;
            offset = Arrays.copyOf(offset, more);
            key = Arrays.copyOf(key, more);
            value = Arrays.copyOf(value, more);
            headers = Arrays.copyOf(headers, more);
            timestamp = Arrays.copyOf(timestamp, more);
            this.target = Arrays.copyOf(this.target, more);
            seen = Arrays.copyOf(seen, more);
        }
        offset[size] = record.offset();
        key[size] = Digest.bytes(record.key());
        value[size] = Digest.bytes(record.value());
        headers[size] = Digest.headers(record.headers());
        timestamp[size] = record.timestamp();
        this.target[size] = target;
        size++;
    }

    /** The index of an offset, negative when this partition has no such record. */
    int find(long wanted) {
        return Arrays.binarySearch(offset, 0, size, wanted);
    }

    long whole(int i, boolean withTimestamp) {
        return whole(key[i], value[i], headers[i], withTimestamp ? timestamp[i] : 0);
    }

    static long whole(long key, long value, long headers, long timestamp) {
        return Digest.mix(Digest.mix(Digest.mix(Digest.mix(11, key), value), headers), timestamp);
    }
}
