"""Delivery status notifications (RFC 3464) as mail servers make them, built by Python's `email`, and what only looks like one.

    reports.py CLINIC ID      prints {"name": {"raw": base64, "status": "5.1.1" or null}}; a status of false: it is none."""

import base64
import email.message
import email.policy
import json
import sys
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

clinic, message_id = sys.argv[1:]
return_path = f"bounces+{clinic}={message_id.replace('-', '')}@clinics.example"


def sent():
    mail = email.message.EmailMessage()
    mail["From"] = "Clinic at the lake <no-reply@clinics.example>"
    mail["To"] = "paula@example.org"
    mail["Message-ID"] = f"<{message_id}@clinics.example>"
    mail["Subject"] = "Reminder"
    mail.set_content("Clínica\n\nhttps://app.clinics.example/c/demo/visit#secret\n")
    return mail


def recipient(action, status, address="paula@example.org", **more):
    fields = email.message.Message()
    fields["Original-Recipient"] = f"rfc822;{address}"
    fields["Final-Recipient"] = f"rfc822; {address}"
    fields["Action"] = action
    fields["Status"] = status
    for name, value in more.items():
        fields[name.replace("_", "-")] = value
    return fields


def report(recipients, back="whole", to=return_path, policy=email.policy.SMTP, subtype="delivery-status"):
    mail = MIMEMultipart("report", **{"report-type": "delivery-status"})
    mail["From"] = "Mail Delivery System <MAILER-DAEMON@mx.example.net>"
    mail["To"] = to
    mail["Subject"] = "Undelivered Mail Returned to Sender"
    mail.attach(MIMEText("I'm sorry to have to inform you that your message could not be delivered.\n"))
    status = email.message.Message()
    status["Content-Type"] = f"message/{subtype}"
    of_server = email.message.Message()
    of_server["Reporting-MTA"] = "dns; mx.example.net"
    of_server["X-Postfix-Queue-ID"] = "4Xyz"
    of_server["Arrival-Date"] = "Mon, 2 Mar 2026 07:00:00 +0000 (UTC)"
    status.set_payload([of_server, *recipients])
    mail.attach(status)
    if back == "whole":
        mail.attach(MIMEMessage(sent()))
    elif back == "head":
        head = MIMEText("".join(f"{name}: {value}\r\n" for name, value in sent().items()), "rfc822-headers")
        mail.attach(head)
    return mail.as_bytes(policy=policy)


gone = recipient("failed", "5.1.1", Diagnostic_Code="smtp; 550 5.1.1 <paula@example.org>: Recipient address rejected: User unknown in virtual mailbox table")
by_head = "postmaster@clinics.example"
found = {
    "of a user who is unknown": (report([gone]), "5.1.1"),
    "with line feeds only": (report([gone], policy=email.policy.compat32), "5.1.1"),
    "known by its return path alone": (report([gone], back="nothing"), "5.1.1"),
    "known by what came back": (report([gone], to=by_head), "5.1.1"),
    "known by its head": (report([gone], back="head", to=by_head), "5.1.1"),
    "with a comment behind the status": (report([recipient("Failed", "5.1.1 (bad mailbox)")]), "5.1.1"),
    "of two, of whom one is gone": (report([recipient("relayed", "2.0.0", "a@example.org"), gone]), "5.1.1"),
    "of a full mailbox": (report([recipient("failed", "5.2.2")]), "5.2.2"),
    "that goes on": (report([recipient("delayed", "4.4.1", Will_Retry_Until="Thu, 5 Mar 2026 07:00:00 +0000")]), None),
    "that arrived": (report([recipient("delivered", "2.0.0")]), None),
    "that speaks of nobody": (report([]), False),
    "of an action without a status": (report([recipient("failed", "five")]), False),
    "that is a read receipt": (report([gone], subtype="disposition-notification"), False),
    "that is somebody's holiday": (sent().as_bytes(), False),
    "cut off in the middle": (report([gone])[:420], False),
    "of nothing": (b"", False),
    "of noise": (bytes(range(256)) * 200, False),
}
# Cut off behind the status it is as good as whole.
whole = report([gone])
found["cut off behind the status"] = (whole[: whole.index(b"Reminder")], "5.1.1")
print(json.dumps({name: {"raw": base64.b64encode(raw).decode(), "status": status} for name, (raw, status) in found.items()}))
