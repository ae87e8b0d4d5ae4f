"""A real SLURM of one node on this machine: `cluster.py start|stop [FOLDER]`.

Controller, node daemon, accounting daemon with MariaDB, and munge, on loopback, without systemd and
without cgroups; on Debian 12, as root. `start` installs what is missing with apt and leaves alone
what runs; `stop` ends it and removes FOLDER (default /tmp/epsigma-slurm), where everything but the
packages and three links in /etc/slurm lives. Where it cannot be had, `start` says why and ends with
the code 77.
"""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

FOLDER = Path("/tmp/epsigma-slurm")
PACKAGES = (
    *("munge", "slurmctld", "slurmd", "slurm-client", "slurmdbd", "slurm-wlm-mysql-plugin"),
    *("mariadb-server-core", "mariadb-client-core"),
)
# The clients look here; jobs would lose SLURM_CONF on their way.
ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "slurmdbd.conf", "gres.conf")
# In the order in which they start.
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
UNAVAILABLE = 77


class UnavailableError(Exception):
    """SLURM cannot be had here."""


class Cluster:
    """A SLURM that lives in a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]

    def start(self) -> None:
        """Install, configure and start what is not there yet, and wait until the node is idle."""
        self._check()
        self._install()
        self._configure()
        self._start_munge()
        self._start_database()
        self._start_slurm()

    def stop(self) -> None:
        """Cancel the jobs, end the daemons, and remove the folder and the links to it."""
        if self.running("slurmctld"):
            # First: what a job started outlives the node daemon.
            jobs = output("squeue", "--noheader", "--format=%A").split()
            if jobs:
                subprocess.run(["scancel", *jobs])
                wait("the jobs to end", lambda: not output("squeue", "--noheader"), seconds=60)
        for name in reversed(DAEMONS):
            daemon = self.running(name)
            if daemon:
                daemon.terminate()
                try:
                    daemon.wait(15)
                except psutil.TimeoutExpired:
                    daemon.kill()
        for name in FILES:
            if self._owns(ETC / name):
                (ETC / name).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def running(self, name: str) -> psutil.Process | None:
        """Find the daemon that this folder's `start` started, if it still runs."""
        path = self.folder / f"{name}.json"
        if path.exists():
            pid, created = json.loads(path.read_text())
            try:
                process = psutil.Process(pid)
                if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            except psutil.NoSuchProcess:
                pass
        return None

    def _check(self) -> None:
        if os.geteuid() != 0:
            raise UnavailableError("a SLURM for tests is started by root")
        if not shutil.which("apt-get"):
            raise UnavailableError("a SLURM for tests is installed with apt, which is not here")
        for name in FILES:
            path = ETC / name
            if (path.exists() or path.is_symlink()) and not self._owns(path):
                raise UnavailableError(f"{path} is there: this machine belongs to another SLURM")

    def _owns(self, path: Path) -> bool:
        return path.is_symlink() and path.readlink().parent == self.folder

    def _install(self) -> None:
        shown = output("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\n", *PACKAGES)
        if shown.split().count("ii") == len(PACKAGES):
            return
        # Debian asks this file before it starts a service that it has installed.
        policy = Path("/usr/sbin/policy-rc.d")
        forbid = not policy.exists()
        if forbid:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
        options = {
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            "stdin": subprocess.DEVNULL,
            "capture_output": True,
            "text": True,
            "timeout": 300,
        }
        try:
            done = subprocess.run(install, **options)
            if done.returncode:
                subprocess.run(["apt-get", "update", "--quiet"], **options)
                done = subprocess.run(install, **options)
        finally:
            if forbid:
                policy.unlink()
        if done.returncode:
            raise UnavailableError(f"apt cannot install SLURM here: {done.stderr.strip()[-300:]}")

    def _configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # munge distrusts folders that others may write to, and SLURM's clients must see the socket.
        self.folder.chmod(0o755)
        for name in ("controller", "node", "database", "logs"):
            (self.folder / name).mkdir(exist_ok=True)
        key = self.folder / "munge.key"
        if not key.exists():
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        for number in range(4):
            gpu = self.folder / f"gpu{number}"
            if not gpu.exists():
                os.mknod(gpu, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        ETC.mkdir(exist_ok=True)
        for name in FILES:
            template = (Path(__file__).parent / name).read_text()
            cpus = max(6, os.cpu_count() or 6)
            text = template.format(host=self.host, folder=self.folder, cpus=cpus)
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text)
            path.chmod(0o600 if name == "slurmdbd.conf" else 0o644)
            if not self._owns(ETC / name):
                (ETC / name).symlink_to(path)

    def _start_munge(self) -> None:
        path = self.folder / "munge"
        self._daemon(
            "munged",
            *("--foreground", f"--key-file={path}.key", f"--socket={path}.socket"),
            *(f"--pid-file={path}.pid", f"--log-file={self.folder}/logs/munge.log"),
            f"--seed-file={path}.seed",
        )
        wait("munge", lambda: succeeds("munge", "--no-input", f"--socket={path}.socket"))

    def _start_database(self) -> None:
        data, at = self.folder / "database", self.folder / "database.socket"
        if not (data / "mysql").exists():
            made = subprocess.run(
                [
                    *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"),
                    *("--auth-root-authentication-method=normal", "--skip-test-db"),
                ],
                capture_output=True,
                text=True,
            )
            if made.returncode:
                raise RuntimeError(f"mariadb-install-db failed: {made.stdout}{made.stderr}")
        self._daemon(
            "mariadbd",
            *("--no-defaults", "--user=root", f"--datadir={data}", f"--socket={at}"),
            *("--bind-address=127.0.0.1", "--port=23306", "--skip-name-resolve"),
            # What slurmdbd asks for, and nothing to survive a loss of power.
            *("--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"),
            *("--innodb-log-file-size=64M", "--performance-schema=off"),
        )
        client = ("mariadb", "--no-defaults", f"--socket={at}", "--user=root", "--execute")
        wait("MariaDB", lambda: succeeds(*client, "select 1"))
        grants = (
            "create database if not exists accounting; "
            "create user if not exists 'slurm'@'127.0.0.1' identified by 'slurm'; "
            "grant all on accounting.* to 'slurm'@'127.0.0.1'"
        )
        subprocess.run([*client, grants], check=True)

    def _start_slurm(self) -> None:
        self._daemon("slurmdbd", "-D")
        wait("slurmdbd", lambda: succeeds("sacctmgr", "--noheader", "show", "cluster"))
        if "epsigma" not in output("sacctmgr", "--noheader", "show", "cluster", "format=cluster"):
            output("sacctmgr", "--immediate", "--quiet", "add", "cluster", "epsigma")
        self._daemon("slurmctld", "-D")
        wait("slurmctld", lambda: succeeds("scontrol", "ping"))
        self._daemon("slurmd", "-D")
        wait("the node", self._is_idle)

    def _is_idle(self) -> bool:
        state = output("sinfo", "--noheader", "--Node", "--format=%T").partition("\n")[0]
        if state.startswith(("down", "drain")):
            # From an earlier life.
            subprocess.run(["scontrol", "update", f"nodename={self.host}", "state=resume"])
        return state in ("idle", "mixed", "allocated", "completing")

    def _daemon(self, name: str, *arguments: str) -> None:
        if self.running(name):
            return
        with (self.folder / "logs" / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                [name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        created = psutil.Process(process.pid).create_time()
        (self.folder / f"{name}.json").write_text(json.dumps([process.pid, created]))


def output(*command: str) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def succeeds(*command: str) -> bool:
    """Whether a command ends well, soon."""
    try:
        return subprocess.run(command, capture_output=True, timeout=5).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def wait(what: str, condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: if it doesn't in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)


def main() -> None:
    """Read the command line, and start or stop."""
    actions = {"start": Cluster.start, "stop": Cluster.stop}
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in actions:
        sys.exit(__doc__)
    cluster = Cluster(*map(Path, sys.argv[2:]))
    try:
        actions[sys.argv[1]](cluster)
    except UnavailableError as reason:
        print(reason, file=sys.stderr)
        sys.exit(UNAVAILABLE)


if __name__ == "__main__":
    main()
