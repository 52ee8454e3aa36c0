"""People outside: they ask the network's own name servers, book over HTTPS, and note what was acknowledged."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
import uuid
from datetime import date, timedelta

from machines import STRANGER, until

ANSWER_WITHIN = 12


class Network:
    """What a stranger knows: the zone, its name servers, whom certificates are to be from."""

    def __init__(self, zone, servers, trust):
        self.zone, self.servers = zone, servers
        self.tls = ssl.create_default_context(cafile=str(trust))

    def resolve(self, label):
        """Its addresses, as the first name server to answer says them."""
        for server in self.servers:
            asked = subprocess.run(["dig", "+short", "+time=1", "+tries=1", "-b", STRANGER, f"@{server}", f"{label}.{self.zone}", "A"],
                                   text=True, stdout=subprocess.PIPE, check=False)
            lines = [line for line in asked.stdout.split() if line[0].isdigit()]
            if asked.returncode == 0 and lines:
                return lines
        raise OSError(f"no name server answers for {label}.{self.zone}")

    def ask(self, label, method, path, body=None, headers=None, timeout=ANSWER_WITHIN):
        """One request to a host by its name, over TLS, from a stranger's address: status, body."""
        host = f"{label}.{self.zone}"
        failed = None
        for address in self.resolve(label):
            try:
                raw = socket.create_connection((address, 443), timeout, (STRANGER, 0))
                with self.tls.wrap_socket(raw, server_hostname=host) as secured:
                    connection = http.client.HTTPConnection(host)
                    connection.sock = secured
                    all_headers = {"origin": f"https://app.{self.zone}", **(headers or {})}
                    if body is not None:
                        body_text = json.dumps(body)
                        all_headers["content-type"] = "application/json"
                    connection.request(method, path, body_text if body is not None else None, all_headers)
                    answer = connection.getresponse()
                    text = answer.read()
                    is_json = "json" in answer.headers.get("content-type", "")
                    return answer.status, json.loads(text) if is_json and text else text
            except OSError as error:
                failed = error
        raise failed


class Clinic:
    """A clinic as its patients see it."""

    def __init__(self, network, name, regions):
        self.network, self.name, self.regions = network, name, regions

    def onboard(self, token):
        """Sets it up as its operator would, at the first region that takes it."""
        always = [{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "start": "00:00", "end": "24:00"}]
        practitioners = [{"name": f"Dr. Number {n}", "username": f"doctor.{n}", "password": f"tulips over Oslo {n}",
                          "roles": ["doctor"], "hours": always} for n in range(1, 4)]
        document = {"name": "Riverside Clinic", "timeZone": "Europe/Berlin", "practitioners": practitioners, "staff": [],
                    "services": [{"name": "Prescription renewal", "durationMinutes": 10, "price": {"amount": "25.00", "currency": "EUR"}}]}

        def taken():
            status, answer = self.network.ask(self.regions[0], "PUT", f"/c/{self.name}/auth/clinic", document,
                                              {"authorization": f"Bearer {token}"})
            assert status in (200, 201), (status, answer)
            return True

        until(60, "the clinic is not taken", taken)

    def slots(self, region, days):
        """Free slots of some days from today, as bodies for a hold."""
        base = f"/c/{self.name}/scheduling"
        status, clinic = self.network.ask(region, "GET", f"{base}/clinic")
        assert status == 200, (status, clinic)
        service = clinic["services"][0]["id"]
        first = date.today() + timedelta(days=days.start)
        status, answer = self.network.ask(region, "GET", f"{base}/slots?service={service}&from={first}&days={len(days)}")
        assert status == 200, (status, answer)
        return [{"service": service, "practitioner": s["practitioner"]["id"], "start": s["start"]} for s in answer["slots"]]

    def hold(self, region, slot, key):
        return self.network.ask(region, "POST", f"/c/{self.name}/scheduling/holds", slot, {"idempotency-key": key})

    def book(self, region):
        """From free slots to an appointment."""
        for slot in self.slots(region, range(10, 12)):
            status, hold = self.hold(region, slot, str(uuid.uuid4()))
            if status == 201:
                break
        assert status == 201, (status, hold)
        patient = {"name": "Wilhelmina Quetzalcoatl", "birthDate": "1956-03-14", "email": "wilhelmina@patients.example"}
        status, answer = self.network.ask(region, "POST", f"/c/{self.name}/payments/confirmations", {
            "hold": hold["id"], "secret": hold["secret"], "method": "pay-at-clinic", "patient": patient})
        assert status == 201, (status, answer)
        return answer["appointment"]["id"]


class Writer(threading.Thread):
    """Holds one slot after the other, each until it is answered, as the pages do: at its own region, else at the next."""

    def __init__(self, clinic, region, slots):
        super().__init__(daemon=True)
        self.clinic, self.slots = clinic, slots
        self.places = [region] + [other for other in clinic.regions if other != region]
        self.journal, self.problem, self.longest = [], None, 0.0
        self.stopping = threading.Event()

    def run(self):
        for number, slot in enumerate(self.slots):
            key, begun, tries = f"{self.places[0]}-{number}", time.monotonic(), 0
            while not self.stopping.is_set():
                place = self.places[tries % len(self.places)]
                tries += 1
                try:
                    status, answer = self.clinic.hold(place, slot, key)
                except OSError:
                    self.stopping.wait(0.2)
                    continue
                if status < 500:
                    break
                self.stopping.wait(0.2)
            if self.stopping.is_set():
                return
            if status != 201:
                self.problem = f"{place} answered {status}: {answer}"
                return
            self.longest = max(self.longest, time.monotonic() - begun)
            self.journal.append((slot, key, answer["id"]))
            self.stopping.wait(0.3)
        self.problem = "no slots left"


class Journal:
    """A writer at every region."""

    def __init__(self, clinic):
        self.clinic, self.days = clinic, range(1, 7)
        slots = clinic.slots(clinic.regions[0], self.days)
        share = len(slots) // len(clinic.regions)
        assert share > 100, f"only {len(slots)} slots"
        self.writers = [Writer(clinic, region, slots[n * share:(n + 1) * share]) for n, region in enumerate(clinic.regions)]
        for writer in self.writers:
            writer.start()
        self.go_on(2)

    def go_on(self, more, keep=False):
        """Waits until each writer has so many more answers; the longest that one of them waited for one, in seconds, since now
        or, with `keep`, since the last time."""
        wanted = {writer: len(writer.journal) + more for writer in self.writers}
        for writer in self.writers:
            writer.longest = writer.longest if keep else 0.0
        until(90, "a writer is not answered", lambda: all(
            writer.problem is None and len(writer.journal) >= wanted[writer] for writer in self.writers))
        return max(writer.longest for writer in self.writers)

    def check(self, regions):
        """Stops, and looks for everything that was acknowledged at each region: how much that was."""
        for writer in self.writers:
            writer.stopping.set()
            writer.join()
            assert writer.problem is None, writer.problem
        journal = [entry for writer in self.writers for entry in writer.journal]
        for region in regions:
            def is_there():
                free = [json.dumps(slot, sort_keys=True) for slot in self.clinic.slots(region, self.days)]
                missing = [key for slot, key, _ in journal if json.dumps(slot, sort_keys=True) in free]
                assert not missing, f"{region} misses {missing}"
                return True
            until(60, "acknowledged holds are missing", is_there)
        for number, (slot, key, kept) in enumerate(journal):
            status, again = self.clinic.hold(regions[number % len(regions)], slot, key)
            assert status == 201 and again["id"] == kept, f"{key}: {status} {again}"
        return len(journal)
