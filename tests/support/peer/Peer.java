import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The outside view: a long-lived JVM that the tests talk to. It feeds topics, writes as a stranger,
 * asks the broker and compares outputs with inputs, through Apache's own client; it shares no code
 * with the product.
 *
 * One JSON object a line on standard input: {"id": 7, "cmd": "check", "bootstrap": "...", ...}.
 * One JSON object a line on standard output: {"id": 7, "result": {...}} or {"id": 7, "error": "..."}.
 * Every command runs on a thread of its own, so answers come in any order. What runs until it is
 * told (feed with a rate, stranger) looks at its stop flag: {"cmd": "stop", "target": 7}.
 * The end of standard input ends the process.
 */
public final class Peer {
    /** What a command gets: its request, and the flag that asks it to end. */
    record Call(JsonNode request, AtomicBoolean stop) {
        String bootstrap() {
            return text("bootstrap", null);
        }

        String text(String name, String otherwise) {
            JsonNode node = request.get(name);
            return node == null || node.isNull() ? otherwise : node.asText();
        }

        long number(String name, long otherwise) {
            JsonNode node = request.get(name);
            return node == null || node.isNull() ? otherwise : node.asLong();
        }

        boolean flag(String name, boolean otherwise) {
            JsonNode node = request.get(name);
            return node == null || node.isNull() ? otherwise : node.asBoolean();
        }
    }

    interface Command {
        ObjectNode run(Call call) throws Exception;
    }

    static final ObjectMapper JSON = new ObjectMapper();

    private static final Map<String, Command> COMMANDS = new TreeMap<>(Map.ofEntries(
        Map.entry("create_topics", Topics::create),
        Map.entry("delete_topics", Topics::delete),
        Map.entry("delete_records", Topics::deleteRecords),
        Map.entry("add_partitions", Topics::addPartitions),
        Map.entry("describe_topics", Topics::describe),
        Map.entry("alter_configs", Topics::alterConfigs),
        Map.entry("ends", Topics::ends),
        Map.entry("leaders", Leaders::tell),
        Map.entry("move_leaders", Leaders::move),
        Map.entry("group_offsets", Groups::offsets),
        Map.entry("group_commits", Groups::commits),
        Map.entry("alter_group", Groups::alter),
        Map.entry("delete_group", Groups::delete),
        Map.entry("join_group", Groups::join),
        Map.entry("acls", Access::acls),
        Map.entry("password", Access::password),
        Map.entry("feed", Feed::run),
        Map.entry("produce", Explicit::produce),
        Map.entry("fetch", Explicit::fetch),
        Map.entry("stranger", Stranger::run),
        Map.entry("copy", Copy::run),
        Map.entry("tally", Tally::run),
        Map.entry("check", Check::run)));

    private static final Map<Long, AtomicBoolean> RUNNING = new ConcurrentHashMap<>();

    private final PrintStream answers;

    private Peer(PrintStream answers) {
        this.answers = answers;
    }

    private void answer(ObjectNode node) {
        synchronized (answers) {
            answers.println(node);
            answers.flush();
        }
    }

    private void run(long id, String name, Call call) {
        ObjectNode node = JSON.createObjectNode().put("id", id);
        try {
            Command command = COMMANDS.get(name);
            if (command == null) {
                throw new IllegalArgumentException("no command '" + name + "'");
            }
            node.set("result", command.run(call));
        } catch (Throwable trouble) {
            trouble.printStackTrace();
            Throwable cause = trouble;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            node.put("error", name + ": " + trouble
                + (cause == trouble ? "" : " (" + cause + ")"));
        } finally {
            RUNNING.remove(id);
        }
        answer(node);
    }

    private void stop(long id, long target) {
        AtomicBoolean flag = RUNNING.get(target);
        if (flag != null) {
            flag.set(true);
        }
        ObjectNode node = JSON.createObjectNode().put("id", id);
        node.putObject("result").put("was_running", flag != null);
        answer(node);
    }

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(new PrintStream(System.out, false, StandardCharsets.UTF_8));
        System.setOut(System.err);
        ExecutorService threads = Executors.newCachedThreadPool(work -> {
            Thread thread = new Thread(work);
            thread.setDaemon(true);
            return thread;
        });
        BufferedReader lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode request = JSON.readTree(line);
            long id = request.get("id").asLong();
            String name = request.get("cmd").asText();
            if (name.equals("stop")) {
                peer.stop(id, request.get("target").asLong());
                continue;
            }
            AtomicBoolean flag = new AtomicBoolean();
            RUNNING.put(id, flag);
            threads.execute(() -> peer.run(id, name, new Call(request, flag)));
        }
        RUNNING.values().forEach(flag -> flag.set(true));
        threads.shutdown();
        threads.awaitTermination(5, TimeUnit.SECONDS);
        System.exit(0);
    }
}
