import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Command check: is every input record in the outputs exactly once, unchanged, in the right
 * partition, in order? The request is Route's, with "provenance": "headers" (default) or "none",
 * "isolation_out", "out_from", "timestamps": false where an output has LogAppendTime,
 * "absent": [[TOPIC, PARTITION, OFFSET]] for records that were set aside, "job": the hash that
 * headers must carry.
 *
 * Three views, each on its own able to say no:
 * 1. by header: each output record is compared with the input record that it names;
 * 2. by sequence: per (input partition → output partition) the contents in their order. Where
 *    one input partition alone can reach an output partition, headers are not looked at;
 * 3. by sum: all contents of all outputs against all inputs, whatever the order and the headers.
 * With provenance none the first view is replaced by counting contents.
 *
 * Records that a stranger wrote to an output are counted and otherwise ignored.
 */
final class Check {
    private static final int EXAMPLES_MAX = 5;

    private final Peer.Call call;
    private final Route route;
    private final boolean byHeader;
    private final boolean timestamps;
    private final String job;
    private final Map<TopicPartition, Source> sources = new HashMap<>();
    private final List<Source> sourceList = new ArrayList<>();
    private final Map<TopicPartition, Sink> sinks = new HashMap<>();
    private final TreeMap<String, Long> counts = new TreeMap<>();
    private final Map<String, Integer> shown = new HashMap<>();
    private final ArrayNode examples = Peer.JSON.createArrayNode();
    private long records;
    private long expected;
    private long sum;
    private long strangers;

    private Check(Peer.Call call) throws Exception {
        this.call = call;
        route = new Route(call);
        byHeader = call.text("provenance", "headers").equals("headers");
        timestamps = call.flag("timestamps", true);
        job = call.text("job", null);
        for (String kind : new String[] {"missing", "doubled", "changed_key", "changed_value",
            "changed_headers", "changed_timestamp", "out_of_order", "misplaced", "unexpected",
            "sequence_differs", "sum_differs"}) {
            counts.put(kind, 0L);
        }
    }

    static ObjectNode run(Peer.Call call) throws Exception {
        Check check = new Check(call);
        check.readInputs();
        check.readOutputs();
        if (check.byHeader) {
            check.findMissing();
        }
        check.compareSequences();
        if (check.sum != 0) {
            check.fault("sum_differs", "the contents of all outputs aren't those of all inputs");
        }
        return check.result();
    }

    private void fault(String kind, String words) {
        counts.merge(kind, 1L, Long::sum);
        if (shown.merge(kind, 1, Integer::sum) <= EXAMPLES_MAX) {
            examples.add(kind + ": " + words);
        }
    }

    private void readInputs() throws Exception {
        Set<String> absent = new HashSet<>();
        if (call.request().has("absent")) {
            for (JsonNode record : call.request().get("absent")) {
                absent.add(record.get(0).asText() + "/" + record.get(1).asInt() + "/"
                    + record.get(2).asLong());
            }
        }
        for (TopicPartition partition : route.to.keySet()) {
            Source source = new Source(partition, sourceList.size());
            sources.put(partition, source);
            sourceList.add(source);
        }
        Reading.range(call.bootstrap(), route.isolation, route.from, route.to, record -> {
            String output = route.outputOf.get(record.topic());
            if (!absent.isEmpty() && absent.contains(record.topic() + "/" + record.partition()
                + "/" + record.offset())) {
                return;
            }
            Source source = sources.get(new TopicPartition(record.topic(), record.partition()));
            source.add(record, route.target(record.partition(), record.key(),
                route.counts.get(output).get(0)));
            sum += source.whole(source.size - 1, timestamps);
            expected++;
        });
    }

    private void readOutputs() throws Exception {
        Admin admin = Clients.admin(call.bootstrap());
        String isolation = call.text("isolation_out", "read_uncommitted");
        List<TopicPartition> partitions = Topics.partitionsOf(admin, route.outputs());
        Map<TopicPartition, Long> ends = Topics.listed(admin, partitions, OffsetSpec.latest(),
            isolation.equals("read_committed"));
        partitions.forEach(
            partition -> sinks.put(partition, new Sink(partition, sourceList.size())));
        Reading.range(call.bootstrap(), isolation,
            Topics.offsets(call.request().get("out_from")), ends, this::take);
    }

    private void take(ConsumerRecord<byte[], byte[]> record) {
        if (Stranger.wrote(record.topic(), record.headers())) {
            strangers++;
            return;
        }
        records++;
        long key = Digest.bytes(record.key());
        long value = Digest.bytes(record.value());
        long headers = Digest.headers(record.headers());
        long whole =
            Source.whole(key, value, headers, timestamps ? record.timestamp() : 0);
        sum -= whole;
        Sink sink = sinks.get(new TopicPartition(record.topic(), record.partition()));
        String place = sink.partition + "@" + record.offset();
        Provenance named = Provenance.last(record.headers());
        if (!byHeader) {
            if (named != null) {
                fault("changed_headers", place + " carries a provenance header");
            }
            sink.add(whole, -1);
            return;
        }
        Source source = named == null ? null
            : sources.get(new TopicPartition(named.topic(), named.partition()));
        sink.add(whole, source == null ? -1 : source.number);
        int i = source == null ? -1 : source.find(named.offset());
        if (i < 0 || named.index() != 0 || (job != null && !job.equals(named.job()))) {
            fault("unexpected", place + (named == null ? " has no provenance as its last header"
                : " names " + named.text()));
            return;
        }
        place = source.partition + "@" + source.offset[i] + " at " + place;
        if (source.seen[i] != 0) {
            fault("doubled", place);
        } else if (source.offset[i] < sink.highest[source.number]) {
            fault("out_of_order", place + " behind " + sink.highest[source.number]);
        }
        source.seen[i] = 1;
        sink.highest[source.number] = Math.max(sink.highest[source.number], source.offset[i]);
        if (!allowed(record, source.partition)) {
            fault("misplaced", place);
        }
        compare(record, source, i, new long[] {key, value, headers}, place);
    }

    private void compare(ConsumerRecord<byte[], byte[]> record, Source source, int i,
        long[] found, String place) {
        long ours = 0;
        for (var header : record.headers()) {
            ours += Provenance.is(header) ? 1 : 0;
        }
        if (source.key[i] != found[0]) {
            fault("changed_key", place);
        }
        if (source.value[i] != found[1]) {
            fault("changed_value", place);
        }
        if (source.headers[i] != found[2] || ours != 1) {
            fault("changed_headers", place + (ours == 1 ? "" : " has " + ours + " provenances"));
        }
        if (timestamps && source.timestamp[i] != record.timestamp()) {
            fault("changed_timestamp", place + " is " + record.timestamp() + ", was "
                + source.timestamp[i]);
        }
    }

    private boolean allowed(ConsumerRecord<byte[], byte[]> record, TopicPartition source) {
        if (!record.topic().equals(route.outputOf.get(source.topic()))) {
            return false;
        }
        return route.counts.get(record.topic()).stream().anyMatch(count ->
            route.target(source.partition(), record.key(), count) == record.partition());
    }

    private void findMissing() {
        for (Source source : sourceList) {
            for (int i = 0; i < source.size; i++) {
                if (source.seen[i] == 0) {
                    fault("missing", source.partition + "@" + source.offset[i]);
                }
            }
        }
    }

    private void compareSequences() {
        for (Sink sink : sinks.values()) {
            String topic = sink.partition.topic();
            if (route.counts.get(topic).size() > 1) {
                continue;   // an output that grew: one pair has no single way any more
            }
            int count = route.counts.get(topic).get(0);
            List<Source> able = sourceList.stream()
                .filter(source -> route.outputOf.get(source.partition.topic()).equals(topic))
                .filter(source -> route.byKey
                    || source.partition.partition() % count == sink.partition.partition())
                .toList();
            if (able.isEmpty() && sink.size > 0) {
                fault("sequence_differs", sink.partition + " should be empty");
            }
            for (Source source : able) {
                boolean alone = able.size() == 1;
                if (!alone && !byHeader) {
                    continue;   // nothing tells the sources apart; the sum is still compared
                }
                if (!compareSequence(sink, source, alone) && alone && !byHeader) {
                    countContents(sink, source);
                }
            }
        }
    }

    private boolean compareSequence(Sink sink, Source source, boolean alone) {
        int target = sink.partition.partition();
        int i = 0;
        for (int at = 0; at < sink.size; at++) {
            if (!alone && sink.source[at] != source.number) {
                continue;
            }
            while (i < source.size && source.target[i] != target) {
                i++;
            }
            if (i == source.size || sink.digest[at] != source.whole(i, timestamps)) {
                fault("sequence_differs", source.partition + " → " + sink.partition
                    + ", first at the output's record " + at + (i == source.size
                        ? ", which is one too many" : ", input offset " + source.offset[i]));
                return false;
            }
            i++;
        }
        while (i < source.size && source.target[i] != target) {
            i++;
        }
        if (i < source.size) {
            fault("sequence_differs", source.partition + " → " + sink.partition
                + " ends before input offset " + source.offset[i]);
        }
        return i == source.size;
    }

    /** Without headers: what differs, told by contents alone. */
    private void countContents(Sink sink, Source source) {
        Map<Long, int[]> left = new HashMap<>();
        for (int i = 0; i < source.size; i++) {
            if (source.target[i] == sink.partition.partition()) {
                left.computeIfAbsent(source.whole(i, timestamps), ignored -> new int[1])[0]++;
            }
        }
        boolean same = true;
        for (int at = 0; at < sink.size; at++) {
            int[] count = left.get(sink.digest[at]);
            if (count == null || count[0]-- <= 0) {
                fault(count == null ? "unexpected" : "doubled",
                    sink.partition + ", record " + at);
                same = false;
            }
        }
        for (int[] count : left.values()) {
            for (; count[0] > 0; count[0]--) {
                fault("missing", "a record of " + source.partition + " in " + sink.partition);
                same = false;
            }
        }
        if (same) {
            fault("out_of_order", source.partition + " → " + sink.partition);
        }
    }

    private ObjectNode result() {
        ObjectNode result = Peer.JSON.createObjectNode();
        result.put("in", expected).put("out", records).put("strangers", strangers);
        long faults = 0;
        for (Map.Entry<String, Long> count : counts.entrySet()) {
            result.put(count.getKey(), count.getValue());
            faults += count.getValue();
        }
        result.put("clean", faults == 0 && expected == records);
        result.set("examples", examples);
        return result;
    }
}
