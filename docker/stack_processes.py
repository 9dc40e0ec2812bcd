"""The stack as processes: finds the servers' program, starts and stops services, keeps all under one directory."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import stack_services
from stack_services import KEYS, Place, Server, Service

Kind = Literal["minio", "seaweedfs"]
STOP_SECONDS = 30  # SeaweedFS takes 15 and a little
SERVERS = {"store", "offsite"}
PREFERRED = {"store": 9000, "offsite": 9100, "agent": 9464}
SEAWEEDFS_PORTS = 7


@dataclass
class Running:
    """A directory with what runs in it. ``root``: data, logs, the configuration, and ports.json. ``patience``: seconds
    for a service to end."""

    root: Path
    place: Place
    kind: Kind
    binary: str
    lock: int
    patience: float
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return Path(self.place.config)

    @property
    def credentials(self) -> Path:
        """A file that a shell can read."""
        return self.root / "keys.env"

    def services(self) -> dict[str, Service]:
        return {service.name: service for service in stack_services.services(self.place, keys())}

    def start(self, name: str) -> None:
        """Starts a service that stays; its output goes to logs/NAME.log."""
        server = {"store": self.place.store, "offsite": self.place.offsite}.get(name)
        service = self.services()[name] if server is None else self._server(server)
        with self._log(name) as log:
            self.processes[name] = subprocess.Popen(
                service.command,
                env=os.environ | dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we stop the services, last started first
                pass_fds=(self.lock,),
            )
        self._say_pids()

    def run(self, name: str) -> None:
        """Runs a service that ends. SystemExit with the end of its log, if it fails."""
        service = self.services()[name]
        with self._log(name) as log:
            done = subprocess.run(
                service.command, env=os.environ | dict(service.environment), stdout=log, stderr=log, check=False
            )
        if done.returncode != 0:
            raise SystemExit(f"{name} failed:\n{self.log_end(name)}")

    def kill(self, name: str) -> None:
        """As a machine goes that burns: at once."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._say_pids()

    def stop(self) -> None:
        """The agent, then the servers that it needs. Who does not end in time is killed."""
        for together in (self.processes.keys() - SERVERS, self.processes.keys() & SERVERS):
            for name in together:
                self.processes[name].terminate()
            for name in together:
                try:
                    self.processes[name].wait(self.patience)
                except subprocess.TimeoutExpired:
                    self.kill(name)
        self.processes.clear()
        self._say_pids()

    def ended(self) -> str | None:
        """The name of a service that ended by itself."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)

    def log_end(self, name: str) -> str:
        return (self.root / "logs" / f"{name}.log").read_text(errors="replace")[-2000:]

    def _server(self, server: Server) -> Service:
        Path(server.data).mkdir(parents=True, exist_ok=True)
        if self.kind == "seaweedfs":
            return stack_services.seaweedfs(server, keys(), self.binary, free_ports(SEAWEEDFS_PORTS))
        return stack_services.minio(server, keys(), self.binary)

    def _log(self, name: str) -> IO[bytes]:
        return (self.root / "logs" / f"{name}.log").open("ab")

    def _say_pids(self) -> None:
        pids = {name: process.pid for name, process in self.processes.items()}
        (self.root / "processes.json").write_text(json.dumps(pids) + "\n")


@contextmanager
def directory(root: Path, wanted: Kind | None, *, scratch: bool) -> Iterator[Running]:
    """Nothing runs yet; whatever was started is stopped at the end. ``scratch``: on any free ports, instead of the
    usual ones where these are free, and nobody wants the data afterwards.

    SystemExit if another stack runs in this directory.
    """
    kind, binary = server_program(wanted)
    root = root.resolve()
    (root / "logs").mkdir(parents=True, exist_ok=True)
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the services hold it, too: none is left over unseen
    except BlockingIOError:
        os.close(lock)
        raise SystemExit(f"a stack runs in {root} already; the pids are in {root / 'processes.json'}") from None
    running = Running(root, _place(root, scratch), kind, binary, lock, 1 if scratch else STOP_SECONDS)
    running.config.write_text(stack_services.config_text(running.place))
    running.credentials.touch(mode=0o600)
    running.credentials.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in keys().items()))
    with stopped_by_signals():
        try:
            yield running
        finally:
            running.stop()
            os.close(lock)


def server_program(wanted: Kind | None) -> tuple[Kind, str]:
    """MinIO if there is one, else SeaweedFS, said aloud. SystemExit if what is wanted is not there."""
    cached = Path.home() / ".cache/tiervdb/bin/minio"
    minio = shutil.which("minio") or (str(cached) if os.access(cached, os.X_OK) else None)
    weed = Path(sys.executable).with_name("weed")
    if wanted != "seaweedfs" and minio is not None:
        return "minio", minio
    if wanted == "minio" or not weed.exists():
        raise SystemExit("no MinIO on the PATH nor in ~/.cache/tiervdb/bin: `make minio` builds one")
    if wanted is None:
        print("There is no MinIO (`make minio` builds one): the stack runs on SeaweedFS instead.")
    return "seaweedfs", str(weed)


def keys() -> dict[str, str]:
    """The credentials: from the environment, else those of a stack that only this machine reaches."""
    return {name: os.environ.get(name, default) for name, default in KEYS.items()}


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _place(root: Path, scratch: bool) -> Place:
    free = free_ports(5)
    ports = {
        name: other if scratch or not _is_free(port) else port
        for (name, port), other in zip(PREFERRED.items(), free, strict=False)
    }
    (root / "ports.json").write_text(json.dumps(ports) + "\n")

    def server(name: str, console: int) -> Server:
        address = f"127.0.0.1:{ports[name]}"
        data = str(root / name / "data")
        return Server(name, f"TIERVDB_{name.upper()}", address, f"127.0.0.1:{console}", address, data)

    return Place(
        store=server("store", free[3]),
        offsite=server("offsite", free[4]),
        agent=f"127.0.0.1:{ports['agent']}",
        home=str(root / "machine"),
        config=str(root / "agent.toml"),
        scripts=str(Path(__file__).parent),
        python=sys.executable,
        tiervdb=(sys.executable, "-m", "tiervdb.cli.main"),
    )


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end this as Ctrl-C does, so that nothing is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
