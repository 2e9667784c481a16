"""A real Kafka with locks on its doors: TLS, SCRAM, mTLS, ACLs.

    with SecuredKafka() as kafka:
        kafka.bootstrap                 # plaintext, for the peer: everything is allowed there
        kafka.login("SCRAM")            # settings that work at this listener ...
        kafka.login("SCRAM", **{"sasl.password": "wrong"})      # ... and that don't
        kafka.authority.folder          # own CA's certificates, made by openssl

Listeners: SCRAM (SASL_SSL, SCRAM-SHA-512), MTLS (client certificate required), OPEN_SCRAM (SCRAM
without TLS), LATE (its certificate has expired), ELSEWHERE (its certificate names another host).
"""

import pathlib
import subprocess

from kafka import Kafka, free_ports

USER, PASSWORD = "orders-copy", "correct-horse-battery"
KEY_PASSWORD = "staple-for-the-key"

LISTENERS = {
    "SCRAM": ("SASL_SSL", "server"),
    "MTLS": ("SSL", "server"),
    "OPEN_SCRAM": ("SASL_PLAINTEXT", None),
    "LATE": ("SSL", "expired"),
    "ELSEWHERE": ("SSL", "elsewhere"),
}

CA_CONFIG = """\
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """A certificate authority in a folder: NAME.crt, NAME.key (PKCS#8), NAME.pem (both)."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self._new("ca", "-x509", "-days", "2", "-subj", "/CN=Oncesink test CA")
        self._new("stranger", "-x509", "-days", "2", "-subj", "/CN=Nobody's CA")
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "ca.conf").write_text(CA_CONFIG.format(folder=self.folder))

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True,
                       timeout=60)

    def _new(self, name, *how):
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-keyout", self.folder / f"{name}.key",
                      "-out", self.folder / f"{name}.crt", *how)

    def issue(self, name, common_name, alternative="IP:127.0.0.1", expired=False):
        """Signs a certificate; an expired one ended in 2021."""
        file = self.folder / name
        self._new(name, "-subj", f"/CN={common_name}")      # a request, at first
        request = file.with_suffix(".crt").rename(file.with_suffix(".csr"))
        file.with_suffix(".ext").write_text(f"subjectAltName={alternative}\n")
        dates = (["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"] if expired
                 else ["-days", "2"])
        self._openssl("ca", "-batch", "-notext", "-config", self.folder / "ca.conf",
                      "-cert", self.path("ca.crt"), "-keyfile", self.path("ca.key"),
                      "-in", request, "-out", self.path(f"{name}.crt"),
                      "-extfile", file.with_suffix(".ext"), *dates)
        file.with_suffix(".pem").write_text(self.text(f"{name}.key") + self.text(f"{name}.crt"))

    def lock(self, name, password):
        """NAME-locked.key: the same key, encrypted."""
        self._openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", self.path(f"{name}.key"),
                      "-passout", f"pass:{password}", "-out", self.path(f"{name}-locked.key"))

    def path(self, name):
        return self.folder / name

    def text(self, name):
        return self.path(name).read_text()


class SecuredKafka(Kafka):
    def __init__(self, **properties):
        super().__init__(**properties)
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.authority = Authority(self.dir / "certificates")
        self.authority.issue("server", "broker")
        self.authority.issue("expired", "broker", expired=True)
        self.authority.issue("elsewhere", "broker", alternative="DNS:broker.elsewhere.example")
        self.authority.issue("client", "orders-copy")
        self.authority.issue("client-expired", "orders-copy", expired=True)
        self.authority.lock("client", KEY_PASSWORD)
        self._add_properties()

    def format(self, *arguments):
        super().format("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]",
                       *arguments)

    def _add_properties(self):
        plain = self.file.read_text()
        lines = []
        for name, (protocol, certificate) in LISTENERS.items():
            listener = f"listener.name.{name.lower()}."
            for which in ("listeners", "advertised.listeners"):
                plain = plain.replace(f"\n{which}=", f"\n{which}={name}://127.0.0.1:"
                                                     f"{self.ports[name]},")
            plain = plain.replace("\nlistener.security.protocol.map=",
                                  f"\nlistener.security.protocol.map={name}:{protocol},")
            if certificate:
                lines += [f"{listener}ssl.keystore.type=PEM",
                          f"{listener}ssl.keystore.location="
                          f"{self.authority.path(certificate + '.pem')}",
                          f"{listener}ssl.truststore.type=PEM",
                          f"{listener}ssl.truststore.location={self.authority.path('ca.crt')}"]
            if name == "MTLS":
                lines.append(f"{listener}ssl.client.auth=required")
            if protocol.startswith("SASL"):
                lines += [f"{listener}sasl.enabled.mechanisms=SCRAM-SHA-512",
                          f"{listener}scram-sha-512.sasl.jaas.config="
                          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                          f"{listener}connections.max.reauth.ms=2000"]
        lines += ["inter.broker.listener.name=PLAINTEXT",
                  "authorizer.class.name="
                  "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                  "super.users=User:ANONYMOUS;User:CN=orders-copy"]
        self.file.write_text(plain + "\n".join(lines) + "\n")

    def at(self, listener):
        return f"127.0.0.1:{self.ports[listener]}"

    def login(self, listener, **other):
        """Client settings for a listener; `other` replaces some, None takes one out."""
        protocol, _ = LISTENERS[listener]
        settings = {"bootstrap.servers": self.at(listener), "security.protocol": protocol}
        if protocol.endswith("SSL"):
            settings["ssl.ca.location"] = self.authority.path("ca.crt")
        if protocol.startswith("SASL"):
            settings.update({"sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": USER,
                             "sasl.password": PASSWORD})
        if listener == "MTLS":
            settings.update({"ssl.certificate.location": self.authority.path("client.crt"),
                             "ssl.key.location": self.authority.path("client.key")})
        return {name: value for name, value in {**settings, **other}.items()
                if value is not None}
