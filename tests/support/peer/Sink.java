import java.util.Arrays;
import org.apache.kafka.common.TopicPartition;

/** What one output partition holds, strangers left out: each record's digest and named source. */
final class Sink {
    final TopicPartition partition;
    final long[] highest;
    int size;
    long[] digest = new long[1024];
    int[] source = new int[1024];

    Sink(TopicPartition partition, int sources) {
        this.partition = partition;
        highest = new long[sources];
        Arrays.fill(highest, -1);
    }

    /** `from` is the number of the source that the record names, -1 for none. */
    void add(long whole, int from) {
        if (size == digest.length) {
            digest = Arrays.copyOf(digest, size * 2);
            source = Arrays.copyOf(source, size * 2);
        }
        digest[size] = whole;
        source[size++] = from;
    }
}
