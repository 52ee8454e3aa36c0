"""An app that is not ours, by `authlib`: in by code and PKCE, on by refresh tokens, by itself by a key; and everything that
must be refused. Whoever runs it has signed in as a doctor and as an administrator, and hands over their cookies.

    authlib_flow.py '{"api": ..., "doctor": ..., "administrator": ..., "patient": ...}'

Prints a line for each thing that held, and ends with an error at the first that did not."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import sys
import time
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

# The network under test is on this machine, in the clear.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
BACK = "https://app.example/back"
SCOPE = "openid fhirUser profile offline_access launch/patient patient/Encounter.rs user/Appointment.s"
SYSTEM = "system/Encounter.rs system/Appointment.s"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

resolve = socket.getaddrinfo


def loopback(host, *rest, **more):
    """Names below `localhost` are this machine (RFC 6761 §6.3), as browsers have it."""
    return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)


socket.getaddrinfo = loopback


def holds(what, condition, *shown):
    if not condition:
        raise SystemExit(f"does not hold: {what} {shown}")
    print(f"holds: {what}")


class Clinic:
    def __init__(self, said):
        self.api, self.origin, self.patient = said["api"], said["origin"], said["patient"]
        self.cookies = {"doctor": said["doctor"], "administrator": said["administrator"]}
        self.issuer = f"{self.api}/auth"
        self.metadata = requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=30).json()

    def post(self, who, path, body):
        headers = {"cookie": self.cookies[who], "origin": self.origin}
        return requests.post(self.api + path, json=body, headers=headers, timeout=30)

    def register(self, **body):
        made = self.post("administrator", "/auth/oauth/clients", {"name": "By authlib", **body})
        assert made.status_code == 201, made.text
        return made.json()

    def decide(self, url, allow=True):
        """What the page does when its person presses a button: where the browser goes then."""
        body = {"query": urlsplit(url).query, "allow": allow, "patient": self.patient}
        return self.post("doctor", "/auth/oauth/authorizations", body)

    def app(self, client, **more):
        return OAuth2Session(
            client["id"], client.get("secret"), scope=SCOPE, redirect_uri=BACK, code_challenge_method="S256", **more
        )

    def authorize(self, app, **more):
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        endpoint = self.metadata["authorization_endpoint"]
        given = {"code_verifier": verifier, "nonce": nonce, "aud": f"{self.api}/fhir", **more}
        url, state = app.create_authorization_url(endpoint, **given)
        decided = self.decide(url)
        assert decided.status_code == 201, decided.text
        back = decided.json()["redirect"]
        answered = parse_qs(urlsplit(back).query)
        assert answered["state"] == [state] and answered["iss"] == [self.issuer], back
        return back, verifier, nonce

    def token(self, body, **more):
        return requests.post(self.metadata["token_endpoint"], data=body, timeout=30, **more)

    def read(self, token):
        """Who somebody is, by a token."""
        bearer = {"authorization": f"Bearer {token}"}
        return requests.get(self.metadata["userinfo_endpoint"], headers=bearer, timeout=30)


def refused(what, answer, status, error):
    holds(what, answer.status_code == status and answer.json()["error"] == error, answer.status_code, answer.text)


def comes_in(clinic):
    client = clinic.register(kind="secret", scopes=SCOPE, redirectUris=[BACK])
    app = clinic.app(client)
    back, verifier, nonce = clinic.authorize(app)
    tokens = app.fetch_token(clinic.metadata["token_endpoint"], authorization_response=back, code_verifier=verifier)
    holds("a code is worth tokens", tokens["token_type"] == "Bearer" and tokens["patient"] == clinic.patient)

    keys = KeySet.import_key_set(requests.get(clinic.metadata["jwks_uri"], timeout=30).json())
    wanted = {"iss": {"value": clinic.issuer}, "aud": {"value": client["id"]}}
    params = {"nonce": nonce, "client_id": client["id"]}
    token = jwt.decode(tokens["id_token"], keys, algorithms=["ES384"])
    claims = CodeIDToken(token.claims, token.header, wanted, params)
    claims.validate(leeway=5)
    holds("the id token is ours, and says who it is", claims["fhirUser"].startswith(f"{clinic.api}/fhir/Practitioner/"))
    holds("… and when they signed in", 0 <= time.time() - claims["auth_time"] < 3_600)
    holds("userinfo agrees", app.get(clinic.metadata["userinfo_endpoint"]).json()["sub"] == claims["sub"])
    today = time.strftime("%Y-%m-%d", time.gmtime())
    listed = app.get(f"{clinic.api}/scheduling/appointments?date={today}")
    holds("the API takes the token where its scope reaches", listed.status_code == 200, listed.text)
    outbox = app.get(f"{clinic.api}/messages/outbox")
    holds("and not elsewhere", outbox.status_code == 403, outbox.text)

    told = app.introspect_token(clinic.metadata["introspection_endpoint"], token=tokens["access_token"]).json()
    holds("its own token is told about", told["active"] and told["client_id"] == client["id"], told)
    old = tokens["refresh_token"]
    renewed = app.refresh_token(clinic.metadata["token_endpoint"], refresh_token=old)
    holds("a refresh token is worth others", renewed["refresh_token"] != old)
    refused("the old one is worth nothing", again(clinic, client, old), 400, "invalid_grant")
    refused("… and takes the new one along", again(clinic, client, renewed["refresh_token"]), 400, "invalid_grant")
    holds("… and every token", clinic.read(renewed["access_token"]).status_code == 401)

    back, verifier, _ = clinic.authorize(app)
    tokens = app.fetch_token(clinic.metadata["token_endpoint"], authorization_response=back, code_verifier=verifier)
    answer = app.revoke_token(clinic.metadata["revocation_endpoint"], token=tokens["refresh_token"])
    holds("a token is given back", answer.status_code == 200)
    holds("… and its family with it", clinic.read(tokens["access_token"]).status_code == 401)


def again(clinic, client, token):
    body = {"grant_type": "refresh_token", "refresh_token": token}
    return clinic.token(body, auth=(client["id"], client["secret"]))


def public_app_is_refused(clinic):
    client = clinic.register(kind="public", scopes=SCOPE, redirectUris=[BACK])
    app = clinic.app(client, token_endpoint_auth_method="none")
    back, verifier, _ = clinic.authorize(app)
    good = {
        "grant_type": "authorization_code", "client_id": client["id"], "redirect_uri": BACK,
        "code": parse_qs(urlsplit(back).query)["code"][0], "code_verifier": verifier,
    }
    refused("a wrong verifier", clinic.token(good | {"code_verifier": secrets.token_urlsafe(48)}), 400, "invalid_grant")
    refused("another address", clinic.token(good | {"redirect_uri": BACK + "/"}), 400, "invalid_grant")
    refused("another app's code", clinic.token(good | {"client_id": clinic.register(
        kind="public", scopes=SCOPE, redirectUris=[BACK])["id"]}), 400, "invalid_grant")
    tokens = clinic.token(good).json()
    holds("the code still works", "access_token" in tokens, tokens)
    refused("a code that comes again", clinic.token(good), 400, "invalid_grant")
    holds("… ends what it gave", clinic.read(tokens["access_token"]).status_code == 401)

    endpoint = clinic.metadata["authorization_endpoint"]
    for name, value, status in [
        ("redirect_uri", "https://evil.example/back", 422), ("client_id", "x", 422),
        ("code_challenge_method", "plain", 200), ("response_type", "token", 200), ("scope", "system/Patient.rs", 200),
        ("aud", "https://evil.example/fhir", 200),
    ]:
        query = {"code_verifier": verifier, "aud": f"{clinic.api}/fhir"}
        url, _ = app.create_authorization_url(endpoint, **query)
        answer = clinic.decide(f"{url.split('?')[0]}?{changed(url, name, value)}")
        holds(f"{name}={value} is refused", answer.status_code == status and "code=" not in answer.text, answer.text)


def changed(url, name, value):
    fields = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()} | {name: value}
    return requests.compat.urlencode(fields)


def by_itself(clinic):
    for alg in ["ES384", "RS384"]:
        key = new_key(alg)
        client = clinic.register(kind="key", scopes=SYSTEM, jwks={"keys": [key.as_dict(private=False)]})
        endpoint = clinic.metadata["token_endpoint"]
        app = OAuth2Session(client["id"], key, scope=SYSTEM, token_endpoint_auth_method="private_key_jwt")
        soon = {"exp": int(time.time()) + 200}
        app.register_client_auth_method(PrivateKeyJWT(endpoint, soon, {"kid": f"{alg}-1"}, alg))
        tokens = app.fetch_token(endpoint, grant_type="client_credentials")
        holds(f"an app comes by itself by {alg}", set(tokens["scope"].split()) == set(SYSTEM.split()), tokens)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        listed = app.get(f"{clinic.api}/scheduling/appointments?date={today}")
        holds("… as far as its scope", listed.status_code == 200, listed.text)
        holds("… and is nobody", app.get(clinic.metadata["userinfo_endpoint"]).status_code == 403)
        assertions_are_refused(clinic, client, key, alg)


def new_key(alg):
    more = {"kid": f"{alg}-1", "use": "sig", "alg": alg}
    return ECKey.generate_key("P-384", more) if alg == "ES384" else RSAKey.generate_key(2048, more)


def assertions_are_refused(clinic, client, key, alg):
    now, endpoint = int(time.time()), clinic.metadata["token_endpoint"]
    claims = {"iss": client["id"], "sub": client["id"], "aud": endpoint, "exp": now + 200, "jti": secrets.token_hex(8)}
    header = {"alg": alg, "kid": f"{alg}-1"}

    def ask(header, claims, key, scope=SYSTEM):
        text = header if isinstance(header, str) else jwt.encode(header, claims, key, algorithms=[alg])
        return clinic.token({"grant_type": "client_credentials", "scope": scope, "client_assertion_type": ASSERTION,
                             "client_assertion": text})

    good = jwt.encode(header, claims, key, algorithms=[alg])
    holds("an assertion counts", ask(good, None, None).status_code == 200)
    refused("once", ask(good, None, None), 401, "invalid_client")
    for what, change in [
        ("another aud", {"aud": "https://evil.example/token"}), ("another iss", {"iss": "somebody"}),
        ("another sub", {"sub": "00000000-0000-7000-8000-000000000000"}), ("expired", {"exp": now - 120}),
        ("not yet valid", {"nbf": now + 120}), ("valid for too long", {"exp": now + 3_600}), ("no jti", {"jti": ""}),
    ]:
        refused(what, ask(header, claims | {"jti": secrets.token_hex(8)} | change, key), 401, "invalid_client")
    fresh = claims | {"jti": secrets.token_hex(8)}
    refused("another kid", ask(header | {"kid": "other"}, fresh, key), 401, "invalid_client")
    refused("another key", ask(header, fresh, new_key(alg)), 401, "invalid_client")
    signed = jwt.encode(header, fresh, key, algorithms=[alg]).rsplit(".", 1)[0]
    refused("no signature", ask(f"{signed}.", None, None), 401, "invalid_client")
    for name in ["none", "None", "NONE"]:
        refused(f"alg {name}", ask(f"{joined({'alg': name, 'kid': header['kid']}, fresh)}.", None, None), 401, "invalid_client")
    text = joined({"alg": "HS256", "kid": header["kid"]}, fresh)
    public = key.as_pem(private=False)
    mac = encoded(hmac.new(public, text.encode(), hashlib.sha256).digest())
    refused("the public key as a secret", ask(f"{text}.{mac}", None, None), 401, "invalid_client")
    refused("more scopes", ask(header, fresh, key, "system/Patient.rs"), 400, "invalid_scope")


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(header, claims):
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))


def main():
    clinic = Clinic(json.loads(sys.argv[1]))
    holds("the issuer is the clinic's own", clinic.metadata["issuer"] == clinic.issuer, clinic.metadata)
    comes_in(clinic)
    public_app_is_refused(clinic)
    by_itself(clinic)


if __name__ == "__main__":
    main()
