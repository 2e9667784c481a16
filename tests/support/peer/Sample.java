import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Record number i of a seed, always the same one.
 *
 * Style "plain": a binary value of the size asked for, a key out of a thousand, no headers.
 * Style "flat": the same, with a value that compresses to next to nothing.
 * Style "mixed": every shape that must arrive unchanged: keys null, empty, binary, repeating;
 * values null, empty, binary; no headers, one, or repeated, null-valued and empty ones in order.
 * Timestamps count up from the base by one a record, so that neighbours always differ.
 */
final class Sample {
    private final long seed;
    private final int size;
    private final boolean mixed;
    private final boolean flat;
    private final long baseTimestamp;

    Sample(long seed, int size, String style, long baseTimestamp) {
        this.seed = seed;
        this.size = Math.max(size, 16);
        this.mixed = switch (style) {
            case "mixed" -> true;
            case "plain", "flat" -> false;
            default -> throw new IllegalArgumentException("no style '" + style + "'");
        };
        this.flat = style.equals("flat");
        this.baseTimestamp = baseTimestamp;
    }

    ProducerRecord<byte[], byte[]> record(long number, String topic, int partition) {
        SplittableRandom random = new SplittableRandom(seed * 1_000_003 + number);
        byte[] key = mixed ? mixedKey(number, random) : text("k" + random.nextInt(1000));
        byte[] value = mixed ? mixedValue(number, random) : binary(number, random);
        List<Header> headers = mixed ? mixedHeaders(number, random) : List.of();
        return new ProducerRecord<>(topic, partition, baseTimestamp + number, key, value, headers);
    }

    private byte[] mixedKey(long number, SplittableRandom random) {
        switch (random.nextInt(5)) {
            case 0: return null;
            case 1: return new byte[0];
            case 2: return text("k" + random.nextInt(16));
            case 3: {
                byte[] key = new byte[1 + random.nextInt(12)];
                random.nextBytes(key);
                return key;
            }
            default: return text("record-" + number);
        }
    }

    private byte[] mixedValue(long number, SplittableRandom random) {
        return switch (random.nextInt(12)) {
            case 0 -> null;
            case 1 -> new byte[0];
            default -> binary(number, random);
        };
    }

    /** Sixteen text digits of the record's number, then random bytes. */
    private byte[] binary(long number, SplittableRandom random) {
        byte[] value = new byte[size];
        if (flat) {
            Arrays.fill(value, (byte) 'x');
        } else {
            random.nextBytes(value);
        }
        byte[] digits = text(String.format("%016x", number));
        System.arraycopy(digits, 0, value, 0, digits.length);
        return value;
    }

    private static List<Header> mixedHeaders(long number, SplittableRandom random) {
        List<Header> headers = new ArrayList<>();
        int shape = random.nextInt(4);
        if (shape >= 1) {
            headers.add(new RecordHeader("id", text(Long.toString(number))));
        }
        if (shape == 2) {
            headers.add(new RecordHeader("again", text("first")));
            headers.add(new RecordHeader("again", null));
            headers.add(new RecordHeader("", new byte[0]));
            headers.add(new RecordHeader("again", text("third")));
        }
        if (shape == 3) {
            byte[] bytes = new byte[random.nextInt(9)];
            random.nextBytes(bytes);
            headers.add(new RecordHeader("größe", bytes));
            headers.add(new RecordHeader("nothing", null));
        }
        return headers;
    }

    private static byte[] text(String words) {
        return words.getBytes(StandardCharsets.UTF_8);
    }
}
