"""What the soak runs on: two S3 servers, a proxy before the first, two databases with a writer each, and an agent.

The writers and the agent reach the first server through the proxy only; whoever checks reaches it directly.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import make_buckets
import soak_writer
import stack_processes
from soak_truth import Told
from stack_processes import Kind, Running

from tiervdb.configuration.configuration import Configuration

ROOT = Path(__file__).parents[1]
DATABASES = ("sync", "async")  # by how they archive
WAIT_SECONDS = 90.0  # for whatever should come soon
POLL_SECONDS = 0.05

HEAD = """
[agent]
listen = "{agent}"
check_every = "1s"

[stores.store]
urls = ["s3://tiervdb/"]
endpoint_url = "http://{store}"
key_env = "TIERVDB_STORE_KEY"
secret_env = "TIERVDB_STORE_SECRET"

[stores.offsite]
urls = ["s3://tiervdb-offsite/"]
endpoint_url = "http://{offsite}"
key_env = "TIERVDB_OFFSITE_KEY"
secret_env = "TIERVDB_OFFSITE_SECRET"

[defaults.objectives]
rpo = "10m"

[defaults.retention]
pitr = "5m"
daily = 1
weekly = 0
monthly = 0
require_restorable = "2m"
lock = ""
"""
BUSY = """
[defaults.schedule]
backup = "* * * * *"
copy = "* * * * *"
verify = "*/5 * * * *"
drill = "*/5 * * * *"
expire = "*/7 * * * *"
"""
QUIET = """
[defaults.schedule]
archive = ""
verify = ""
"""
DATABASE = """
[databases.{name}]
path = "{home}/{name}"
repository = "s3://tiervdb/repository/{name}"
archive = "{name}"

[databases.{name}.offsite]
url = "s3://tiervdb-offsite/repository/{name}"
"""


class Broken(AssertionError):
    """Something does not hold; the soak ends."""


class Writer:
    """A writer's process, heard by a thread. ``told`` is changed only while ``heard`` is held."""

    def __init__(self, process: subprocess.Popen[bytes], told: Told) -> None:
        self.process = process
        self.told = told
        self.commits = 0
        self.wrong: str | None = None
        self.opened = self.ended = False
        self.heard = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Until it said enough. Broken if it said something wrong, ended, or took too long."""
        with self.heard:
            there = self.heard.wait_for(lambda: condition() or self.wrong is not None or self.ended, seconds)
            if self.wrong is not None:
                raise Broken(self.wrong)
            if not condition():
                why = "ended by itself" if there else f"did not do so in {seconds:g} s"
                raise Broken(f"the writer should {what}, and {why}; refused so far: {self.told.refusals[-3:]}")

    def ask(self, count: int) -> None:
        """For so many commits at once, of one that is at it."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it ended, as whoever waits for the commits will say
            self.process.stdin.write(b"." * count)
            self.process.stdin.flush()

    def join(self) -> None:
        """All that it said before it was killed. Broken if it said something wrong."""
        self._thread.join()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.wrong is not None:
            raise Broken(self.wrong)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self.heard:
                    try:
                        said = json.loads(line)
                        self.told.hear(said)
                        self.commits += said["event"] == "done"
                        self.opened |= said["event"] == "opened"
                    except (AssertionError, ValueError, KeyError) as error:
                        self.wrong = self.wrong or f"{error}, by {line!r}"
                    self.heard.notify_all()
        with self.heard:
            self.ended = True
            self.heard.notify_all()


class Stack:
    """Starts and kills everything. ``machine``: the configuration of writers and agent; ``outside``: without proxy."""

    def __init__(self, running: Running, rest: float, *, busy: bool) -> None:
        self.running = running
        self.rest = rest
        self.left_over: list[int] = []  # process groups whose first process was killed
        [self._port] = stack_processes.free_ports(1)
        self.machine_file, self.outside_file = running.config, running.root / "outside.toml"
        place = running.place
        for file, store in ((self.machine_file, f"127.0.0.1:{self._port}"), (self.outside_file, place.store.reach)):
            head = HEAD.format(agent=place.agent, store=store, offsite=place.offsite.reach)
            head += BUSY if busy else QUIET
            file.write_text(head + "".join(DATABASE.format(name=name, home=place.home) for name in DATABASES))
        self.machine: Configuration = Configuration.load(self.machine_file)
        self.outside: Configuration = Configuration.load(self.outside_file)

    # -- servers and the network

    def start_server(self, name: str) -> None:
        """Until it has its bucket."""
        self.running.start(name)
        stores = {"store": self.outside["sync"].stores["store"], "offsite": self.outside["sync"].stores["offsite"]}
        client = make_buckets.client_of(stores[name])
        try:
            make_buckets.make(client, "tiervdb" if name == "store" else "tiervdb-offsite")
        finally:
            client.close()

    def start_proxy(self) -> None:
        command = [sys.executable, "-m", "benchmarks.latency_proxy", "--port", str(self._port), "--delay-ms", "0"]
        self._start("proxy", [*command, "--target", f"http://{self.running.place.store.reach}"])
        wait_until("the proxy answers", self._proxy_answers)

    def delay(self, milliseconds: int) -> None:
        """Of each request to the first server from now on."""
        urllib.request.urlopen(f"http://127.0.0.1:{self._port}/__delay?ms={milliseconds}", timeout=10).close()

    def _proxy_answers(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0

    # -- programs

    def start_writer(self, name: str, told: Told) -> Writer:
        command = [sys.executable, soak_writer.__file__, str(self.machine_file), name, str(self.rest)]
        return Writer(self._start(f"writer-{name}", command, pipes=True), told)

    def start_agent(self) -> None:
        self._start("agent", [sys.executable, "-m", "tiervdb.cli.main", "agent", "--config", str(self.machine_file)])

    def kill_agent(self, *, with_jobs: bool) -> None:
        """Without its jobs: these are left running, at the longest until the end of the soak."""
        if with_jobs:
            self.running.kill("agent")
            return
        process = self.running.processes.pop("agent")
        process.kill()
        process.wait()
        self.left_over.append(process.pid)

    def end_agent(self) -> None:
        """As asked politely: what runs comes to its end, and its leases are given back."""
        process = self.running.processes["agent"]
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
        del self.running.processes["agent"]

    def tiervdb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command on this machine, to its end."""
        command = [sys.executable, "-m", "tiervdb.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10 * WAIT_SECONDS)
        with (self.running.root / "logs" / "commands.log").open("a") as log:
            log.write(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}\n")
        return done

    def _start(self, name: str, command: list[str], *, pipes: bool = False) -> subprocess.Popen[bytes]:
        log: IO[bytes]
        with (self.running.root / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else log,
                stderr=log,
                start_new_session=True,
                pass_fds=(self.running.lock,),
            )
        self.running.processes[name] = process  # so that it is stopped with all the others
        return process


def wait_until(what: str, condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Broken if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"after {seconds:g} s it is still not so that {what}")
        time.sleep(POLL_SECONDS)


@contextmanager
def stack(root: Path, server: Kind | None, rest: float, *, busy: bool) -> Iterator[Stack]:
    """Nothing runs yet; all that was started is stopped at the end. ``busy``: whether the agent has much to do."""
    os.environ.update(stack_processes.keys())  # the configuration names these variables
    with stack_processes.directory(root, server, scratch=True) as running:
        made = Stack(running, rest, busy=busy)
        try:
            yield made
        finally:
            for group in made.left_over:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            for name in list(running.processes):
                if name not in stack_processes.SERVERS:
                    with suppress(ProcessLookupError):
                        running.kill(name)
