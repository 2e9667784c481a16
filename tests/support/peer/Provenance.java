import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/**
 * The header `oncesink` of an output record, as schema/README.md lays it out:
 * 1/JOB/LEDGER/INCARNATION/BATCH/TOPIC/PARTITION/OFFSET/INDEX, JOB and INCARNATION 8 hex digits,
 * LEDGER 12, the rest decimal.
 */
record Provenance(String job, String ledger, String incarnation, long batch, String topic,
    int partition, long offset, long index) {
    static final String NAME = "oncesink";

    /** Null when the bytes aren't such a header. */
    static Provenance parse(byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        String[] part = new String(bytes, StandardCharsets.UTF_8).split("/", -1);
        if (part.length != 9 || !part[0].equals("1") || !hex(part[1], 8) || !hex(part[2], 12)
            || !hex(part[3], 8) || part[5].isEmpty()) {
            return null;
        }
        for (int i : new int[] {4, 6, 7, 8}) {
            if (!part[i].matches("0|[1-9][0-9]{0,17}")) {
                return null;
            }
        }
        return new Provenance(part[1], part[2], part[3], Long.parseLong(part[4]), part[5],
            Integer.parseInt(part[6]), Long.parseLong(part[7]), Long.parseLong(part[8]));
    }

    static boolean is(Header header) {
        return header.key().equals(NAME) && parse(header.value()) != null;
    }

    /** The record's last header when that is one of ours, else null. */
    static Provenance last(Headers headers) {
        Header[] all = headers.toArray();
        return all.length > 0 && all[all.length - 1].key().equals(NAME)
            ? parse(all[all.length - 1].value()) : null;
    }

    String text() {
        return String.join("/", "1", job, ledger, incarnation, Long.toString(batch), topic,
            Integer.toString(partition), Long.toString(offset), Long.toString(index));
    }

    private static boolean hex(String word, int digits) {
        if (word.length() != digits) {
            return false;
        }
        for (int i = 0; i < digits; i++) {
            if ("0123456789abcdef".indexOf(word.charAt(i)) < 0) {
                return false;
            }
        }
        return true;
    }
}
