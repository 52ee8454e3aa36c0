"""Hosts: each a file system of its own over a common one, its own systemd, address and bridge."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# An operator's and a stranger's address; both belong to the machine that the hosts run on.
OPERATOR, STRANGER = "10.77.200.1", "10.77.100.1"
CGROUPS = [folder for folder in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
           if (folder / "cgroup.procs").exists()]


def run(*words, **options):
    """A command that must succeed; what it prints."""
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stdout[-2000:]}")
    return done.stdout


def until(seconds, what, condition):
    """Waits for something that is true in the end; what it said."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (AssertionError, OSError, ValueError, KeyError) as error:
            found, last = None, error
        else:
            last = found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}: {last}"
        time.sleep(0.2)


class Machine:
    """One host."""

    def __init__(self, fleet, name, bridge, address):
        self.fleet, self.name, self.bridge, self.address = fleet, name, bridge, address
        self.folder = fleet.work / name
        self.tree = self.folder / "tree"
        self.process = None
        for part in ("upper", "work", "tree"):
            (self.folder / part).mkdir(parents=True)
        layers = f"lowerdir={fleet.root},upperdir={self.folder}/upper,workdir={self.folder}/work"
        run("mount", "-t", "overlay", name, "-o", layers, self.tree)
        network = self.tree / "etc/systemd/network/10-host0.network"
        network.write_text(f"[Match]\nName=host0\n[Network]\nAddress={address}/24\nGateway={address.rpartition('.')[0]}.1\n"
                           "DHCP=no\nLinkLocalAddressing=no\n")
        for kind in ("ecdsa", "ed25519"):
            run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", self.tree / f"etc/ssh/ssh_host_{kind}_key")
        (self.tree / "root/.ssh/authorized_keys").write_text((fleet.key.with_suffix(".pub")).read_text())
        (self.tree / "etc/hostname").write_text(f"{name}\n")

    @property
    def host_key(self):
        return " ".join((self.tree / "etc/ssh/ssh_host_ecdsa_key.pub").read_text().split()[:2])

    def boot(self):
        """Starts it; `ready` waits for it."""
        groups = [folder / "locum-fleet" / self.name for folder in CGROUPS]

        def enter():
            for group in groups:
                group.mkdir(parents=True, exist_ok=True)
                (group / "cgroup.procs").write_text(str(os.getpid()))

        short = self.fleet.short(self.name)
        log = open(self.folder / "console.log", "ab")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", f"--machine={short}", f"--hostname={self.name}",
             f"--directory={self.tree}", f"--network-bridge={self.bridge}", "--resolv-conf=off", "--timezone=off",
             "--link-journal=no", "--console=pipe"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter)

    def ready(self):
        until(90, f"{self.name} does not boot", lambda: self.tell("true") is not None)

    def tell(self, command, **options):
        """Runs a command there, as the operator over SSH."""
        known = self.folder / "known_hosts"
        known.write_text(f"{self.name} {self.host_key}\n")
        return run("ssh", "-F", "none", "-i", self.fleet.key, "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}",
                   "-o", f"HostKeyAlias={self.name}", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", f"root@{self.address}",
                   command, **options)

    def kill(self):
        """As if its power was cut: nothing in it gets to say a last word."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.process.wait(30)
        self.process = None


class Fleet:
    """All of them, on a bridge for each region, with this machine as the router between."""

    def __init__(self, root, work):
        self.root, self.work = Path(root), Path(work)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.key = self.work / "operator"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", self.key)
        self.machines = {}
        run("ip", "link", "set", "lo", "up")
        for address in (OPERATOR, STRANGER):
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def short(self, name):
        return "h" + str(list(self.machines).index(name))

    def region(self, number, names):
        """A bridge and its hosts."""
        bridge, net = f"region{number}", f"10.77.{number}"
        run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
        run("ip", "address", "add", f"{net}.1/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        # Whoever runs terraform here calls from the operator's address.
        run("ip", "route", "replace", f"{net}.0/24", "dev", bridge, "src", OPERATOR)
        for last, name in enumerate(names, 11):
            self.machines[name] = Machine(self, name, bridge, f"{net}.{last}")

    def boot(self, names=None):
        for name in names or self.machines:
            self.machines[name].boot()
        for name in names or self.machines:
            self.machines[name].ready()

    def stop(self):
        """Nobody is asked: they are nobody's. Their folders go too."""
        for machine in self.machines.values():
            if machine.process:
                machine.kill()
            run("umount", "--lazy", machine.tree)
        for folder in CGROUPS:
            for group in sorted((folder / "locum-fleet").rglob("*/"), key=lambda path: -len(path.parts)):
                group.rmdir()
            if (folder / "locum-fleet").exists():
                (folder / "locum-fleet").rmdir()
        shutil.rmtree(self.work, ignore_errors=True)
