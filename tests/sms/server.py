"""A provider of short messages for the tests: it takes what Twilio's published description of its interface (`twilio.json`) takes,
writes down what it took, and tells what became of it, signed by Twilio's own library.

    server.py FOLDER ACCOUNT TOKEN         HTTPS on a port of the system's, with FOLDER/cert.pem; prints the port

Each message is a line of JSON in FOLDER/taken, each refused request one in FOLDER/refused. A number that ends with 0001 is none
(21211), one that ends with 0002 has said STOP to it (21610); 0003 gets no answer after it was taken; of 0004 the network says later
that it is none (30005). A line of JSON on the standard input, {"url", "connect", "fields", "genuine"}, is told to the network; the
status that it answers is a line of output."""

import base64
import http.client
import http.server
import json
import os
import re
import ssl
import sys
import threading
import urllib.parse

from twilio.request_validator import RequestValidator

folder, account, token = sys.argv[1:]
with open(os.path.join(os.path.dirname(__file__), "twilio.json"), encoding="utf-8") as file:
    described = json.load(file)
[(template, item)] = described["paths"].items()
operation = item["post"]
[(media_type, content)] = operation["requestBody"]["content"].items()
schema = content["schema"]
[in_path] = [one for one in operation["parameters"] if one["in"] == "path"]
lock = threading.Lock()


def write(name, line):
    with lock, open(f"{folder}/{name}", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def wrong(handler, body):
    """What of a request is not as the description has it."""
    path = re.fullmatch(template.replace(".", r"\.").replace("{AccountSid}", "([^/]+)"), handler.path)
    if path is None or not re.fullmatch(in_path["schema"]["pattern"], path[1]) or path[1] != account:
        return 404, "path"
    basic = base64.b64encode(f"{account}:{token}".encode()).decode()
    if handler.headers["authorization"] != f"Basic {basic}":
        return 401, "authorization"
    if handler.headers["content-type"] != media_type:
        return 415, "content-type"
    fields = urllib.parse.parse_qsl(body.decode("ascii"), strict_parsing=True, encoding="utf-8", errors="strict")
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        return 400, "twice"
    for name, value in fields:
        known = schema["properties"].get(name)
        if known is None:
            return 400, f"unknown field {name}"
        if known.get("type") == "string" and "pattern" in known and not re.fullmatch(known["pattern"], value):
            return 400, f"pattern of {name}"
        if known.get("format") == "uri" and urllib.parse.urlsplit(value).scheme not in ("http", "https"):
            return 400, f"{name} is no URL"
        if known.get("format") == "phone-number" and name == "To" and not re.fullmatch(r"\+[1-9]\d{7,14}", value):
            return 400, f"{name} is not E.164"
    given = dict(fields)
    missing = [name for name in schema.get("required", []) if name not in given]
    # By its words: one of each pair.
    if missing or not ("From" in given or "MessagingServiceSid" in given) or not given.get("Body"):
        return 400, "missing"
    return None, given


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, found = wrong(self, body)
        if status is not None:
            write("refused", {"why": found, "path": self.path})
            self.answer(status, {"code": 20001, "message": found, "status": status})
            return
        code = {"0001": 21211, "0002": 21610}.get(found["To"][-4:])
        if code is not None:
            self.answer(400, {"code": code, "message": "refused", "status": 400})
            return
        head = "\n".join(f"{name}: {value}" for name, value in self.headers.items() if name.lower() != "authorization")
        write("taken", {"fields": found, "raw": f"{self.path}\n{head}\n{urllib.parse.unquote_plus(body.decode())}"})
        if found["To"].endswith("0003"):
            self.close_connection = True
            return
        sid = "SM" + os.urandom(16).hex()
        self.answer(201, {"sid": sid, "status": "queued", "error_code": None, "to": found["To"], "body": found["Body"]})

    def log_message(self, *_):
        pass


def tell(wish):
    """As the provider does: a form, signed over the address that it was given and the fields."""
    url, fields = wish["url"], wish["fields"]
    signed = RequestValidator(token if wish["genuine"] else "f" * 32).compute_signature(url, fields)
    parts = urllib.parse.urlsplit(url)
    host, port = wish["connect"].rsplit(":", 1)
    # The network ends TLS in front of this port.
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    headers = {"host": wish["host"], "content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signed}
    connection.request("POST", parts.path, urllib.parse.urlencode(fields), headers)
    return connection.getresponse().status


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
for line in sys.stdin:
    print(tell(json.loads(line)), flush=True)
