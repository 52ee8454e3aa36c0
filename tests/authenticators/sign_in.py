"""Signs in with authenticators that are not ours: an app (`pyotp`) and a security key (`soft-webauthn`), and tries what must
not open anything. Takes the network as JSON on standard input."""

import base64
import copy
import hashlib
import json
import sys
import time

import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from person import Person
from soft_webauthn import SoftWebauthnDevice

# Seconds that a code lasts (RFC 6238).
STEP = 30
USER_VERIFIED = 0x04
FLAGS = 32


def encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class SecurityKey(SoftWebauthnDevice):
    """As pages hand a key's answers on. The library only says that somebody is there; `verified` says who as well."""

    def question(self, options):
        asked = copy.deepcopy(options)
        asked["publicKey"]["challenge"] = decode(asked["publicKey"]["challenge"])
        if "user" in asked["publicKey"]:
            asked["publicKey"]["user"]["id"] = decode(asked["publicKey"]["user"]["id"])
            asked["publicKey"]["attestation"] = "none"
            wanted = asked["publicKey"]["pubKeyCredParams"]
            asked["publicKey"]["pubKeyCredParams"] = [{"alg": p["alg"], "type": p["type"]} for p in wanted]
        return asked

    def answer(self, made):
        response = {name: encode(value) for name, value in made["response"].items() if value is not None}
        id = encode(made["rawId"])
        return {"id": id, "rawId": id, "type": made["type"], "response": response, "clientExtensionResults": {}}

    def made_for(self, options, origin, verified=True):
        made = self.create(self.question(options), origin)
        if verified:
            attestation = cbor.decode(made["response"]["attestationObject"])
            data = bytearray(attestation["authData"])
            data[FLAGS] |= USER_VERIFIED
            made["response"]["attestationObject"] = cbor.encode(attestation | {"authData": bytes(data)})
        return self.answer(made)

    def shown_for(self, options, origin, verified=True, key=None):
        made = self.get(self.question(options), origin)
        response = made["response"]
        data = bytearray(response["authenticatorData"])
        data[FLAGS] |= USER_VERIFIED if verified else 0
        signed = bytes(data) + hashlib.sha256(response["clientDataJSON"]).digest()
        response["signature"] = (key or self.private_key).sign(signed, ec.ECDSA(hashes.SHA256()))
        return self.answer(made | {"response": response | {"authenticatorData": bytes(data)}})


def main():
    network = json.load(sys.stdin)

    def begin(account, next):
        person = Person(network["address"], network["host"], network["origin"])
        account = network["accounts"][account]
        assert person.give_password(account["username"], account["password"])["next"] == next
        return person

    def is_in(person):
        return person.ask("GET", "/auth/session").status_code == 200

    def app():
        """Each step of time opens once, and no later one opens an earlier."""
        person = begin("doctor", "enrolment")
        assert not is_in(person), "a password alone"
        app = pyotp.TOTP(person.post("/auth/totp", {})["secret"])
        # Until there is room in this step: what follows must not be at the next one.
        while time.time() % STEP > STEP / 2:
            time.sleep(0.5)
        now = time.time()
        code = lambda steps: app.at(now + steps * STEP)
        for steps in [-3, 3]:
            person.post("/auth/totp/confirm", {"code": code(steps)}, 422)
        recovery = person.post("/auth/totp/confirm", {"code": code(0)})["recoveryCodes"]
        assert is_in(person) and len(set(recovery)) == 10
        person = begin("doctor", "second-factor")
        for wrong in [code(0), code(-1), code(3)]:
            person.post("/auth/second-factor", {"totp": wrong}, 401)
            assert not is_in(person), wrong
        person.post("/auth/second-factor", {"totp": code(1)})
        assert is_in(person)
        person = begin("doctor", "second-factor")
        person.post("/auth/second-factor", {"totp": code(1)}, 401)
        person.post("/auth/second-factor", {"recoveryCode": recovery[0]})
        assert is_in(person)
        person = begin("doctor", "second-factor")
        person.post("/auth/second-factor", {"recoveryCode": recovery[0]}, 401)
        assert not is_in(person)

    def security_key():
        """Only for our pages, only verified, only the key itself, and each answer once."""
        origin = network["origin"]
        person, key = begin("front-desk", "enrolment"), SecurityKey()
        ask = lambda: person.post("/auth/passkeys/options", {})
        enrol = lambda credential, status: person.post(
            "/auth/passkeys", {"name": "A key", "credential": credential}, status
        )
        enrol(key.made_for(ask(), origin, verified=False), 422)
        enrol(key.made_for(ask(), "https://elsewhere.example"), 422)
        before = ask()
        ask()
        enrol(key.made_for(before, origin), 422)
        assert not is_in(person)
        assert len(enrol(key.made_for(ask(), origin), 201)["recoveryCodes"]) == 10
        assert is_in(person)

        person = begin("front-desk", "second-factor")
        ask = lambda: person.post("/auth/second-factor/passkey", {})
        show = lambda credential, status: person.post("/auth/second-factor", {"passkey": credential}, status)
        other = ec.generate_private_key(ec.SECP256R1())
        show(key.shown_for(ask(), origin, verified=False), 401)
        show(key.shown_for(ask(), "https://elsewhere.example"), 401)
        show(key.shown_for(ask(), origin, key=other), 401)
        assert not is_in(person)
        shown = key.shown_for(ask(), origin)
        show(shown, 201)
        assert is_in(person)
        person = begin("front-desk", "second-factor")
        ask()
        show(shown, 401)
        # A copy of the key, made before it was used last.
        key.sign_count -= 1
        show(key.shown_for(ask(), origin), 401)
        assert not is_in(person)
        show(key.shown_for(ask(), origin), 201)

    app()
    security_key()


main()
