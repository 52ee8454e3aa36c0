"""An ACME server (pebble) that asks the network's name servers, and certbot as the operator runs it."""

import json
import os
import socket
import ssl
import subprocess
from pathlib import Path

from machines import STRANGER, run, until

HOOK = Path(__file__).resolve().parents[2] / "terraform/scripts/dns-challenge"


class Authority:
    """The server. It dies with the namespace it runs in."""

    def __init__(self, work, name_server):
        self.folder = work / "authority"
        self.folder.mkdir()
        self.certificate = self.folder / "tls.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.folder / "tls.key",
            "-out", self.certificate)
        config = self.folder / "pebble.json"
        config.write_text(json.dumps({"pebble": {
            "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": str(self.certificate),
            "privateKey": str(self.folder / "tls.key"), "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": ""}}))
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["pebble", "-config", config, "-dnsserver", f"{name_server}:53"], stdout=log, stderr=log,
                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})

    def root(self):
        return until(20, "the ACME server does not start",
                     lambda: run("curl", "-sSf", "--cacert", self.certificate, "https://127.0.0.1:15000/roots/0"))

    def certbot(self, environment, *words):
        """As an operator would, whose shell knows how to reach the members."""
        folders = [f"--{name}-dir={self.folder / name}" for name in ("config", "work", "logs")]
        line = " ".join(["certbot", *words, *folders, "--non-interactive"])
        run("bash", "-c", f"{environment}\n{line}", env={**os.environ, "REQUESTS_CA_BUNDLE": str(self.certificate)})
        live, = (self.folder / "config/live").glob("*/")
        return live / "fullchain.pem", live / "privkey.pem"

    def obtain(self, zone, environment):
        return self.certbot(
            environment, "certonly", "--manual", "--preferred-challenges=dns", f"--manual-auth-hook='{HOOK} set'",
            f"--manual-cleanup-hook='{HOOK} clear'", f"-d {zone} -d '*.{zone}'", "--server=https://127.0.0.1:14000/dir",
            "--agree-tos", "--register-unsafely-without-email")

    def renew(self, _zone, environment):
        return self.certbot(environment, "renew", "--force-renewal", "--no-random-sleep-on-renew")


def shown(network, label):
    """The certificate that a stranger is shown, which must be one to believe."""
    address = network.resolve(label)[0]
    raw = socket.create_connection((address, 443), 5, (STRANGER, 0))
    with network.tls.wrap_socket(raw, server_hostname=f"{label}.{network.zone}") as secured:
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True))
