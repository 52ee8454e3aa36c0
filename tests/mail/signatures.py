"""Signatures of mail (RFC 6376), verified by dkimpy: another program than the one that made them.

    signatures.py key FILE                  a new RSA key, PKCS#1, in FILE; what stands of it in the DNS is printed
    signatures.py verify NAME RECORD        the mail on the standard input, whose key stands at NAME: exits 0 if its signature is good, and
                                      that of a mail with one other letter is not"""

import sys

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def key(file):
    import base64

    new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    with open(file, "wb") as out:
        out.write(new.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = new.public_key().public_bytes(serialization.Encoding.DER, form)
    print(f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}")


def verify(name, record):
    mail = sys.stdin.buffer.read()

    def is_good(mail):
        asked = []

        def dns(wanted, timeout=5):
            asked.append(wanted.decode() if isinstance(wanted, bytes) else wanted)
            return record.encode()

        good = dkim.verify(mail, dnsfunc=dns)
        return good and all(one.rstrip(".") == name for one in asked)

    if not is_good(mail):
        sys.exit("the signature is not good")
    head, body = mail.split(b"\r\n\r\n", 1)
    for other in (head + b"\r\n\r\n" + body.replace(b"visit", b"visiT", 1), mail.replace(b"Subject: ", b"Subject: x", 1)):
        if other == mail or is_good(other):
            sys.exit("a mail that was changed is good as well: nothing was verified")


{"key": key, "verify": verify}[sys.argv[1]](*sys.argv[2:])
