"""A mail server for the tests: aiosmtpd, which writes down what it takes, and answers as the address asks for.

    server.py FOLDER MODE [PORT]       MODE: plain, starttls or implicit

Each message is a line of JSON in FOLDER/taken, synced before it is acknowledged. FOLDER/allow, if it is there, says how many may be
acknowledged; the others wait. The port is the first line of output."""

import asyncio
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP

folder, mode = sys.argv[1], sys.argv[2]
port = int(sys.argv[3]) if len(sys.argv) > 3 else 0


def allowed():
    try:
        with open(f"{folder}/allow", encoding="ascii") as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return sys.maxsize


class Handler:
    taken = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("later"):
            return "451 not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {
            "to": envelope.rcpt_tos[0],
            "from": envelope.mail_from,
            "tls": mode == "implicit" or bool(session.ssl),
            "headers": {name.lower(): value for name, value in mail.items()},
            "text": mail.get_content(),
            "raw": envelope.content.decode("latin-1"),
        }
        with open(f"{folder}/taken", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Handler.taken += 1
        number = Handler.taken
        while number > allowed():
            await asyncio.sleep(0.01)
        if line["to"].startswith("vanish"):
            server.transport.abort()
        return "250 taken"


async def main():
    context = None
    if mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    handler, loop = Handler(), asyncio.get_running_loop()
    starttls = context if mode == "starttls" else None
    secure = {"tls_context": starttls, "require_starttls": starttls is not None}
    make = lambda: SMTP(handler, hostname="localhost", loop=loop, **secure)
    server = await loop.create_server(make, "127.0.0.1", port, ssl=context if mode == "implicit" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
