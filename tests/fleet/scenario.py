"""What `make fleet` sees: a network from nothing, its firewall, a booking, a region that dies, nothing left behind; and applies
that fail half-way. Prints what it measured, and `N passed, N failed`."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

from machines import OPERATOR, STRANGER, Fleet, run, until
from authority import Authority, shown
from people import Clinic, Journal, Network

REPOSITORY = Path(__file__).resolve().parents[2]
ZONE = "clinic.test"
REGIONS = ["us-west", "us-east", "eu-central"]
ROLES = ["control", "edge", "media"]
FOUNDER = "eu-central-control"


class Site:
    """The hosts, and the folder in which their operator runs terraform."""

    def __init__(self, options):
        self.results = Path(options.results)
        self.fleet = Fleet(options.root, options.work)
        for number, region in enumerate(REGIONS, 1):
            self.fleet.region(number, [f"{region}-{role}" for role in ROLES])
        self.folder = self.fleet.work / "terraform"
        self.dist, self.chain = Path(options.dist), self.fleet.work / "web.pem"
        self.key = self.chain.with_suffix(".key")
        self.release, = self.dist.glob("locum-*-x86_64-linux.tar.gz")
        self.certificates()
        example = REPOSITORY / "terraform/examples/three-region/main.tf"
        self.folder.mkdir()
        (self.folder / "main.tf").write_text(example.read_text().replace('"../.."', f'"{REPOSITORY}/terraform"'))
        self.wish()
        self.terraform("init")

    def certificates(self):
        """An authority of this run, and a certificate of the zone by it."""
        folder = self.fleet.work
        names = folder / "names"
        names.write_text(f"subjectAltName=DNS:{ZONE},DNS:*.{ZONE}\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run("openssl", "req", "-x509", *curve, "-subj", "/CN=An authority of this run", "-days", "2", "-keyout", folder / "ca.key",
            "-out", folder / "ca.pem")
        run("openssl", "req", *curve, "-subj", f"/CN={ZONE}", "-keyout", folder / "web.key", "-out", folder / "web.csr")
        run("openssl", "x509", "-req", "-in", folder / "web.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-days", "2",
            "-extfile", names, "-out", folder / "web.pem")

    def wish(self, keys=()):
        """What terraform is told; with other host keys for some."""
        hosts = {region: {} for region in REGIONS}
        for name, machine in self.fleet.machines.items():
            region, _, role = name.rpartition("-")
            hosts[region][role] = {"address": machine.address, "host_key": dict(keys).get(name, machine.host_key)}
        (self.folder / "terraform.tfvars.json").write_text(json.dumps({
            "zone": ZONE, "release_file": str(self.release), "signers_file": str(self.dist / "signers"),
            "ssh_private_key_file": str(self.fleet.key), "operator_ranges": [f"{OPERATOR}/32"], "hosts": hosts,
            "certificate": {"chain_file": str(self.chain), "key_file": str(self.key),
                            "trust_file": str(self.fleet.work / "ca.pem")}}))

    def release_like(self, version, edge=None):
        """A signed release of another version with the same programs, or another `locum-edge`."""
        name, folder = self.release.name.removesuffix("-x86_64-linux.tar.gz"), self.fleet.work / version
        folder.mkdir()
        run("tar", "-xzf", self.release, "-C", folder)
        tree = (folder / name).rename(folder / f"locum-{version}")
        (tree / "VERSION").write_text(f"{version}\n")
        if edge:
            (tree / "bin/locum-edge").write_text(edge)
        made = self.fleet.work / f"locum-{version}-x86_64-linux.tar.gz"
        run("tar", "-C", folder, "-cf", made, "-I", "gzip -1", tree.name)
        run("ssh-keygen", "-q", "-Y", "sign", "-f", self.dist / "signer", "-n", "locum-release", made)
        shutil.rmtree(folder)
        return made

    def terraform(self, *words, may_fail=False):
        """Its exit code and everything it printed, which is also kept."""
        words = ["terraform", f"-chdir={self.folder}", *words, "-no-color"]
        done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
        with open(self.results / "terraform.log", "a", encoding="utf-8") as log:
            log.write(f"\n==== {' '.join(words[2:])}: {done.returncode}\n{done.stdout}")
        assert may_fail or done.returncode == 0, done.stdout[-3000:]
        return done.returncode, done.stdout

    def apply(self, **options):
        return self.terraform("apply", "-auto-approve", "-input=false", **options)

    def machine(self, name):
        return self.fleet.machines[name]

    def control(self, *words, at=FOUNDER):
        return self.machine(at).tell(f"/opt/locum/bin/locum-host control {' '.join(words)}")

    def network(self):
        servers = [self.machine(f"{region}-control").address for region in REGIONS]
        return Network(ZONE, servers, self.fleet.work / "ca.pem")

    def as_it_is(self):
        """What an operator would find on each host: files, users, units, rules."""
        look = ("find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /var/log "
                "-o -path /var/lib/systemd -o -path /root/.ssh \\) -prune -o -print | sort; find /run -name '*locum*'; getent passwd | sort; "
                "getent group | sort; systemctl list-unit-files --no-legend --no-pager | sort; "
                "systemctl list-units --all --no-legend --no-pager 'locum*'; nft list ruleset")
        return {name: machine.tell(look) for name, machine in self.fleet.machines.items()}


class Report:
    """What was measured and seen, in the order of events."""

    def __init__(self):
        self.passed, self.failed, self.rows = 0, 0, []

    def check(self, what, seen):
        """Runs a check; what it returns is its figure."""
        begun = time.monotonic()
        try:
            figure = seen()
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            figure = f"**failed**: {str(error)[-1500:]}"
            traceback.print_exc()
            print(f"FAILED {what}", flush=True)
            raise
        self.passed += 1
        figure = "" if figure is None else str(figure)
        self.rows.append(f"| {what} | {figure} |")
        print(f"ok {what}: {figure} ({time.monotonic() - begun:.1f} s)", flush=True)


def secrets_of(site):
    """What must never be in a state, plan or log."""
    work = site.fleet.work
    token = site.machine(FOUNDER).tell("/opt/locum/bin/locum-host get setup-token").strip()
    keys = [path.read_text().splitlines()[2] for path in (work / "operator", work / "web.key")]
    return [token, *keys]


def keeps_no_secret(site):
    texts = [path.read_text(errors="replace") for path in site.folder.glob("terraform.tfstate*")]
    texts.append((site.results / "terraform.log").read_text())
    for secret in secrets_of(site):
        assert len(secret) > 20 and not any(secret in text for text in texts), "a secret is in the state or in what apply printed"
    # A join token is a JWT.
    assert not any(re.search(r"eyJ[\w-]{20,}\.eyJ", text) for text in texts), "a join token is in the state or in what apply printed"


def open_ports(site, source):
    """TCP ports that answer, by host; every port is tried."""
    found = {}
    for name, machine in site.fleet.machines.items():
        told = run("nmap", "-n", "-Pn", "-sS", "-p-", "--min-rate", "15000", "--max-retries", "1", "-S", source, "-e", machine.bridge,
                   "-oG", "-", machine.address)
        found[name] = sorted(int(port) for port in re.findall(r"(\d+)/open/tcp", told))
    return found


def only_people_come_in(site):
    found = open_ports(site, STRANGER)
    expected = {"control": [53], "edge": [443], "media": [443]}
    for name, ports in found.items():
        assert ports == expected[name.rpartition("-")[2]], f"{name}: {ports}"
    # The same eyes do see SSH where it is let in.
    seen = run("nmap", "-n", "-Pn", "-sS", "-p", "22", "-S", OPERATOR, "-e", "region1", "-oG", "-", site.machine("us-west-edge").address)
    assert "22/open/tcp" in seen, seen
    return f"{len(found)} hosts, 65,535 ports each: 443 and 53"


def the_mesh_is_between_members(site):
    """QUIC answers a version that it does not know (RFC 9000 §6): to members only."""
    ask = ("exec 3<>/dev/udp/{address}/{port}; {{ printf '\\xc0\\x1a\\x2a\\x3a\\x4a\\x08AAAAAAAA\\x08BBBBBBBB'; head -c 1200 /dev/zero; }} | "
           "dd bs=1400 iflag=fullblock status=none >&3; "
           "timeout 2 head -c 1 <&3 | wc -c")
    ports = {"control": 4443, "edge": 4444, "media": 4445}
    for role, port in ports.items():
        target = site.machine(f"us-east-{role}").address
        words = ask.format(address=target, port=port)
        stranger = run("bash", "-c", words)
        member = site.machine("us-west-control").tell(f"bash -c {json.dumps(words)}".replace("$", "\\$"))
        assert stranger.strip() == "0" and member.strip() == "1", (role, stranger, member)


def hosts_are_hardened(site):
    worst = (0.0, "")
    for role in ROLES:
        for unit in (f"locum-{role}", "locum-firewall"):
            told = site.machine(f"us-west-{role}").tell(f"systemd-analyze security --no-pager {unit}.service | tail -1")
            worst = max(worst, (float(re.search(r"(\d+\.\d+)", told).group(1)), unit))
    assert worst[0] <= 2.0, worst
    return f"at most {worst[0]} ({worst[1]})"


def egress_is_refused(site):
    """A node's user cannot reach a stranger: refused at once, not lost."""
    told = site.machine("us-west-edge").tell(
        f"runuser -u locum-edge -- timeout 5 bash -c 'exec 3<>/dev/tcp/{STRANGER}/443' 2>&1; echo $?")
    assert "refused" not in told.lower() and "unreachable" in told.lower() or "prohibited" in told.lower() or "No route" in told, told


def served(site, at):
    told = site.control("status", at=at)
    assert re.search(r"main: epoch \d+, led by", told), told
    return told


def a_region_dies(site, clinic, journal):
    """The one that leads the records: all three hosts at one moment."""
    led = re.search(r"led by edge-([\w-]+)-edge", served(site, FOUNDER)).group(1)
    left = [region for region in REGIONS if region != led]
    journal.go_on(3)
    for role in ROLES:
        site.machine(f"{led}-{role}").kill()
    waited = journal.go_on(3)
    names = until(30, "names of the dead region are answered", lambda: (
        found := site.network().resolve("app")) and site.machine(f"{led}-edge").address not in found and found)
    clinic.network.servers = site.network().servers
    booked = until(60, "nobody can book", lambda: clinic.book(left[0]))
    assert booked and names
    return led, f"{led} (led the records): longest wait for an acknowledgement {waited:.1f} s, booked meanwhile"


def it_comes_back(site, led, journal):
    names = [f"{led}-{role}" for role in ROLES]
    begun = time.monotonic()
    site.fleet.boot(names)
    until(150, "the region's copies are not complete again", lambda: "3 of 3 copies complete" in served(site, FOUNDER))
    until(60, "its names are not back", lambda: site.machine(f"{led}-edge").address in site.network().resolve(led))
    took = time.monotonic() - begun
    count = journal.check(REGIONS)
    return f"whole again {took:.0f} s after power; {count} of {count} acknowledged holds there, in every region"


def nothing_changes(site):
    code, told = site.terraform("plan", "-detailed-exitcode", "-input=false", may_fail=True)
    assert code == 0, told[-2000:]
    _, told = site.apply()
    assert "0 added, 0 changed, 0 destroyed" in told, told[-2000:]


def nothing_is_left(site, before):
    site.terraform("destroy", "-auto-approve", "-input=false")
    after = site.as_it_is()
    for name, text in before.items():
        gone, more = set(text.splitlines()) - set(after[name].splitlines()), set(after[name].splitlines()) - set(text.splitlines())
        # Tools that add and remove users keep a copy of the files before, and a lock.
        more = {line for line in more if not re.fullmatch(r"/etc/(passwd|shadow|group|gshadow)-|/etc/\.pwd\.lock", line)}
        assert not gone and not more, (name, sorted(gone)[:20], sorted(more)[:20])


def life(site, report):
    """A network's whole life."""
    before = site.as_it_is()
    begun = time.monotonic()

    def from_nothing():
        site.apply()
        assert "3 of 3 copies complete" in served(site, FOUNDER)
        took = time.monotonic() - begun
        assert took < 600, took
        return f"{took:.0f} s"

    report.check("`terraform apply` from nothing to healthy, nine hosts", from_nothing)
    report.check("second apply: no change", lambda: nothing_changes(site))
    report.check("no secret in state, plan or output", lambda: keeps_no_secret(site))
    report.check("`systemd-analyze security`, every unit", lambda: hosts_are_hardened(site))
    report.check("a stranger's scan finds", lambda: only_people_come_in(site))
    report.check("the mesh answers members, and strangers not", lambda: the_mesh_is_between_members(site))
    report.check("a node reaches nobody it need not", lambda: egress_is_refused(site))
    clinic = Clinic(site.network(), "riverside", REGIONS)
    report.check("a clinic is set up, and a stranger books over HTTPS by the network's own names",
                 lambda: (clinic.onboard(secrets_of(site)[0]), clinic.book("us-east"))[0])
    journal = Journal(clinic)
    dead = []
    report.check("a region's hosts lose power", lambda: (told := a_region_dies(site, clinic, journal)) and dead.append(told[0]) or told[1])
    report.check("and come back", lambda: it_comes_back(site, dead[0], journal))
    report.check("destroy leaves no file, user, unit, rule", lambda: nothing_is_left(site, before))


def trouble(site, report):
    """An apply that meets a host that is down, one with another key, and one whose disk is full; then one that does not."""
    down, other, full = "us-west-media", "us-east-media", "eu-central-media"
    before = site.as_it_is()
    key = site.machine("us-west-edge").host_key

    def fails():
        site.machine(down).kill()
        site.machine(full).tell("mkdir -p /opt && mount -t tmpfs -o size=8m tmpfs /opt")
        site.wish({other: key})
        code, told = site.apply(may_fail=True)
        assert code != 0
        for name, words in ((down, r"timeout|no route|unreachable|i/o"), (other, r"knownhosts|key mismatch|host key"),
                            (full, rf"{full}: /opt.* has \d+ MiB free, .* needs \d+ MiB")):
            assert re.search(words, told, re.IGNORECASE), f"{name}: nothing says {words}: {told[-4000:]}"
        for name, machine in site.fleet.machines.items():
            if name != down:
                told = machine.tell("systemctl list-unit-files --no-legend 'locum*'; ps -eo args | grep '[/]opt/locum/cur' || true; nft list tables")
                assert told.strip() == "", f"{name}: {told}"

    def completes():
        site.fleet.boot([down])
        site.machine(full).tell("umount /opt")
        site.wish()
        begun = time.monotonic()
        site.apply()
        assert "3 of 3 copies complete" in served(site, FOUNDER)
        return f"{time.monotonic() - begun:.0f} s"

    report.check("a host is down, one shows another key, one's disk is full: each is named, and nothing runs anywhere", fails)
    report.check("the next apply completes", completes)
    report.check("destroy leaves no file, user, unit, rule", lambda: nothing_is_left(site, before))


BAD_BUILD = """#!/bin/sh
# Passes for good until it is to work.
case "$*" in *--check* | *--precompile*) exit 0 ;; esac
echo "a bad build" >&2
exit 1
"""


def versions(site):
    """What each host runs, by its programs."""
    look = "for pid in $(pgrep -x 'locum-(edge|media|con).*'); do readlink /proc/$pid/exe; done"
    return {name: machine.tell(look).split("/")[4] for name, machine in site.fleet.machines.items()}


def upgrade(site, report):
    """Another release goes through a network in which people write; one that is bad does not."""
    site.apply()
    clinic = Clinic(site.network(), "riverside", REGIONS)
    clinic.onboard(secrets_of(site)[0])
    journal = Journal(clinic)
    before = versions(site)

    def rolls():
        journal.go_on(2)
        site.release = site.release_like("9.0.0")
        site.wish()
        begun = time.monotonic()
        site.apply()
        took = time.monotonic() - begun
        assert set(versions(site).values()) == {"9.0.0"} != set(before.values()), versions(site)
        return f"{took:.0f} s for nine nodes; longest wait for an acknowledgement {journal.go_on(2, keep=True):.1f} s"

    def goes_back():
        site.release = site.release_like("9.0.1", BAD_BUILD)
        site.wish()
        code, told = site.apply(may_fail=True)
        assert code != 0 and "it runs as before" in told and "a bad build" in told, told[-3000:]
        # The first edge host went back; the others, which came after it, were not touched.
        edges = [f"{region}-edge" for region in REGIONS]
        assert {versions(site)[name] for name in edges} == {"9.0.0"}, versions(site)
        until(60, "copies are not complete", lambda: "3 of 3 copies complete" in served(site, FOUNDER))
        journal.go_on(3)

    report.check("another release goes through all nodes while people write", rolls)
    report.check("a bad build stops at the first edge host, which runs as before", goes_back)
    report.check("what was acknowledged meanwhile", lambda: f"{journal.check(REGIONS)} holds, all there, in every region")


def certificates(site, report):
    """An ACME server gives the zone a certificate, after it asked the network's own name servers; it is renewed under use."""
    authority = Authority(site.fleet.work, site.machine("us-east-control").address)
    with open(site.fleet.work / "ca.pem", "a", encoding="ascii") as trust:
        trust.write(authority.root())
    site.wish()
    site.apply()
    clinic = Clinic(site.network(), "riverside", REGIONS)
    clinic.onboard(secrets_of(site)[0])
    journal = Journal(clinic)
    since = "systemctl show -p ActiveEnterTimestampMonotonic --value 'locum-edge' 'locum-media' 'locum-control'"
    started = {name: machine.tell(since) for name, machine in site.fleet.machines.items()}
    seen = [shown(clinic.network, "app")]

    def taken_up(get):
        def seen_everywhere():
            journal.go_on(1)
            _, told = site.terraform("output", "-json", "network")
            site.chain, site.key = get(ZONE, json.JSONDecoder().raw_decode(told[told.index("{"):])[0]["challenge_environment"])
            site.wish()
            site.apply()
            for region in REGIONS:
                until(20, f"{region} shows the old certificate", lambda: shown(clinic.network, region) not in seen)
            seen.append(shown(clinic.network, "app"))
            now = {name: machine.tell(since) for name, machine in site.fleet.machines.items()}
            assert now == started, "something was started again"
            return f"longest wait for an acknowledgement {journal.go_on(1, keep=True):.1f} s"
        return seen_everywhere

    report.check("a certificate by DNS-01 through the network's name servers, taken up by all without a restart", taken_up(authority.obtain))
    report.check("the same renewed", taken_up(authority.renew))
    report.check("what was acknowledged meanwhile", lambda: f"{journal.check(REGIONS)} holds, all there, in every region")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--root", "--dist", "--work", "--results"):
        parser.add_argument(name, required=True)
    parser.add_argument("parts", nargs="+")
    options = parser.parse_args()
    report, parts = Report(), " ".join(options.parts).split()
    begun = time.monotonic()
    for part in parts:
        site = Site(options)
        try:
            site.fleet.boot()
            {"life": life, "trouble": trouble, "upgrade": upgrade, "certificates": certificates}[part](site, report)
        except Exception:  # pylint: disable=broad-except
            keep_logs(site)
            report.failed = max(report.failed, 1)
            traceback.print_exc()
        finally:
            site.fleet.stop()
    rows = "\n".join(report.rows)
    (site.results / "report.md").write_text(f"| what | seen |\n|---|---|\n{rows}\n| all of it | {time.monotonic() - begun:.0f} s |\n")
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(bool(report.failed))


def keep_logs(site):
    """For whoever wants to know why."""
    for name, machine in site.fleet.machines.items():
        folder = site.results / "hosts"
        folder.mkdir(exist_ok=True)
        shutil.copy(machine.folder / "console.log", folder / f"{name}.console.log")
        if machine.process:
            try:
                told = machine.tell("journalctl --no-pager -n 400 -o short-precise; systemctl --no-pager status 'locum*'; nft list ruleset")
            except (AssertionError, OSError) as error:
                told = str(error)
            (folder / f"{name}.log").write_text(told)
    if os.environ.get("LOCUM_FLEET_SHELL"):
        print("a shell in the fleet; its end ends it", flush=True)
        subprocess.run(["bash"], check=False)


if __name__ == "__main__":
    main()
