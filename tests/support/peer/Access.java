import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Commands about users: what they may do, and their passwords. */
final class Access {
    private static final long WAIT_S_MAX = 30;

    private Access() {
    }

    /** {"user": NAME, "acls": [["TOPIC", NAME, "READ"], ...], "remove": false}. */
    static ObjectNode acls(Peer.Call call) throws Exception {
        List<AclBinding> bindings = new ArrayList<>();
        call.request().get("acls").forEach(acl -> bindings.add(new AclBinding(
            new ResourcePattern(ResourceType.valueOf(acl.get(0).asText().toUpperCase(Locale.ROOT)),
                acl.get(1).asText(), PatternType.LITERAL),
            new AccessControlEntry("User:" + call.text("user", null), "*",
                AclOperation.valueOf(acl.get(2).asText().toUpperCase(Locale.ROOT)),
                AclPermissionType.ALLOW))));
        if (call.flag("remove", false)) {
            List<AclBindingFilter> filters =
                bindings.stream().map(AclBinding::toFilter).toList();
            Clients.admin(call.bootstrap()).deleteAcls(filters).all()
                .get(WAIT_S_MAX, TimeUnit.SECONDS);
        } else {
            Clients.admin(call.bootstrap()).createAcls(bindings).all()
                .get(WAIT_S_MAX, TimeUnit.SECONDS);
        }
        return Peer.JSON.createObjectNode();
    }

    /** {"user": NAME, "password": TEXT}: for SCRAM-SHA-512; makes the user if need be. */
    static ObjectNode password(Peer.Call call) throws Exception {
        Clients.admin(call.bootstrap()).alterUserScramCredentials(List.of(
            new UserScramCredentialUpsertion(call.text("user", null),
                new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
                call.text("password", null)))).all().get(WAIT_S_MAX, TimeUnit.SECONDS);
        return Peer.JSON.createObjectNode();
    }
}
