import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;

/** 64-bit digests of a record's parts; null, empty and absent all differ. */
final class Digest {
    private static final VarHandle LONGS =
        MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final long NULL = 0x6e756c6c6e756c6cL;

    private Digest() {
    }

    static long mix(long state, long word) {
        long x = (state ^ word) * 0x9e3779b97f4a7c15L;
        x = (x ^ (x >>> 32)) * 0xd6e8feb86659fd93L;
        return x ^ (x >>> 29);
    }

    static long bytes(byte[] bytes) {
        if (bytes == null) {
            return NULL;
        }
        long state = mix(0x1234567, bytes.length);
        int i = 0;
        for (; i + 8 <= bytes.length; i += 8) {
            state = mix(state, (long) LONGS.get(bytes, i));
        }
        for (; i < bytes.length; i++) {
            state = mix(state, bytes[i] + 1000);
        }
        return state;
    }

    /** Of all headers in order, our own provenance left out. */
    static long headers(Iterable<Header> headers) {
        long state = 7;
        for (Header header : headers) {
            if (!Provenance.is(header)) {
                state = mix(state, bytes(header.key().getBytes(StandardCharsets.UTF_8)));
                state = mix(state, bytes(header.value()));
            }
        }
        return state;
    }
}
