"""Signs in a member of staff of every role over the API, with an authenticator app that is not ours (`pyotp`). Prints a line
`role<TAB>cookies` for each, and one without cookies for nobody."""

import json
import sys
from pathlib import Path

import pyotp

sys.path.append(str(Path(__file__).parents[1] / "authenticators"))
from person import Person

PASSWORD = "tulips over Oslo"


def enrol_app(person):
    """A first factor, by an app: the recovery codes that come with it."""
    app = pyotp.TOTP(person.post("/auth/totp", {})["secret"])
    codes = person.post("/auth/totp/confirm", {"code": app.now()})["recoveryCodes"]
    assert len(codes) == 10
    return codes


def main():
    ready, host, origin = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
    address = ready["processes"]["edge-1"]["addresses"]["http"]
    accounts = {account["roles"][0]: account for account in ready["accounts"]}

    def somebody():
        return Person(address, host, origin)

    administrator = somebody()
    account = accounts["clinic-admin"]
    assert administrator.give_password(account["username"], account["password"])["next"] == "enrolment"
    codes = enrol_app(administrator)
    # A second time, with what replaces the app; and not a third time with the same.
    for code, status in [(codes[0], 201), (codes[0], 401)]:
        again = somebody()
        assert again.give_password(account["username"], account["password"])["next"] == "second-factor"
        again.post("/auth/second-factor", {"recoveryCode": code}, status)

    people = {"clinic-admin": administrator, "nobody": somebody()}
    for role in ["doctor", "front-desk", "nurse", "billing", "auditor"]:
        person = somebody()
        if role in accounts:
            person.give_password(accounts[role]["username"], accounts[role]["password"])
        else:
            new = {"name": f"A {role}", "username": role, "roles": [role]}
            token = administrator.post("/auth/staff", new)["token"]
            person.post("/auth/enrolments", {"token": token, "password": PASSWORD})
        enrol_app(person)
        people[role] = person
    for role, person in people.items():
        print(role, "; ".join(f"{k}={v}" for k, v in person.cookies.items()), sep="\t")


if __name__ == "__main__":
    main()
