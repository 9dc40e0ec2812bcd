"""What the soak does to the stack, step by step, by cards that are drawn."""

from __future__ import annotations

import random
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from soak_stack import DATABASES, Broken, Stack, Writer, wait_until
from soak_truth import COLLECTION, DIM, Told
from soak_world import CLOCK, SECOND_US, World, names

import tiervdb
from tiervdb.agent import jobs
from tiervdb.agent.agent import Agent, Outcome
from tiervdb.clock import ManualClock
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.errors import TiervdbError
from tiervdb.types import to_us

BEHIND_SECONDS = 60  # of the clock of a job that fails, so that its next attempt is due now
MIDST = 12  # commits that a writer is at when it is killed
LEASE_SECONDS = 125  # of an agent that was killed, and a little
CALM_SECONDS = 900.0  # until a job that failed again and again is tried once more

# A deck: each card is drawn once, in random order. What is toggled comes twice, so that all is up in the end.
LONG = (
    *("write", "late alerts", "drill", "backup", "one pass of the agent"),
    *("kill the sync writer", "kill the async writer") * 2,
    *("lose sync", "lose async"),
    *("agent", "store", "offsite", "network", "delay") * 2,
)
SHORT = (
    *("late alerts", "kill the sync writer", "kill the async writer", "lose sync", "lose async", "delay"),
    *("agent", "store", "network") * 2,
)


class Soak:
    """The one who does it. ``quick``: a server that is away refuses connections at once,
    instead of also hiding behind a gateway that goes on answering."""

    def __init__(self, stack: Stack, seed: int, *, quick: bool) -> None:
        self.stack = stack
        self.seed = seed
        self.quick = quick
        self.draws = random.Random(seed)  # noqa: S311  (what it draws has to be drawn again)
        self.world = World(stack, random.Random(f"restores {seed}"))  # noqa: S311
        self.writers: dict[str, Writer] = {}
        self.delayed = self.agent = False
        self.agent_killed_us = 0

    # -- cards

    def cards(self) -> Mapping[str, tuple[Callable[[], bool], Callable[[], str]]]:
        """By name: whether it can be played now, and how. What is said of it is for the reader."""
        lease = self._lease_is_free

        def here(name: str) -> bool:
            return name not in self.world.missing

        return {
            "write": (lambda: self.world.whole, self.write),
            "late alerts": (lambda: self.world.up["store"], self.late_alerts),
            "drill": (lambda: self.world.up["store"], self.drill),
            "backup": (lambda: self.world.reachable and not self.world.missing, self.backup),
            "one pass of the agent": (lambda: self.world.whole and lease(), self.one_pass),
            "kill the sync writer": (lambda: here("sync"), lambda: self.kill_writer("sync")),
            "kill the async writer": (lambda: here("async"), lambda: self.kill_writer("async")),
            "lose sync": (lambda: here("sync"), lambda: self.lose("sync")),
            "lose async": (lambda: here("async"), lambda: self.lose("async")),
            "agent": (lambda: True, self.toggle_agent),
            "store": (lambda: True, self.toggle_store),
            "offsite": (lambda: True, self.toggle_offsite),
            "network": (lambda: self.world.up["store"] or not self.quick, self.toggle_network),
            "delay": (lambda: self.world.up["network"], self.toggle_delay),
        }

    def begin(self) -> str:
        """The first day, on which the off-site server is not there yet."""
        self.start_store()
        for name in DATABASES:
            self.make(name)
        self.world.require_alerts("BackupLate", "DrillLate")
        for name in DATABASES:
            self.start_writer(name)
            self.want_commits(name, 3)
            self.want_archived(name)  # a backup beside a writer needs one that has been in touch with the repository
        return self.failing_job()

    def write(self) -> str:
        for name in DATABASES:
            self.want_commits(name, self.draws.randint(5, 40))
        return f"{self.world.told['sync'].acked} and {self.world.told['async'].acked} commits"

    def kill_writer(self, name: str) -> str:
        """In the midst of its work, and on it goes; or with the network away, as far as it can."""
        writer, told = self.writers[name], self.world.told[name]
        if self.world.reachable or name == "async":
            writer.ask(MIDST)
            wanted = writer.commits + self.draws.randint(0, MIDST // 2)
            writer.wait_for("be at work", lambda: writer.commits >= wanted)
        self.stop_writer(name)
        before = told.acked
        self.start_writer(name)
        if self.world.reachable or name == "async":
            self.want_commits(name, 3)
        return f"{before} commits were acknowledged"

    def lose(self, name: str) -> str:
        """The directory with the writer in it. It is restored at once, or when the repository can be reached."""
        self.stop_writer(name)
        shutil.rmtree(self.world.path(name))
        self.world.missing.add(name)
        self.world.jobs_may_fail |= self.agent
        self.world.require_alerts()
        if not self.world.reachable:
            return "the repository cannot be reached now: it stays lost for a while"
        return self.get_back(name)

    def toggle_agent(self) -> str:
        """Starts it, or kills it whatever it does: with the job that it runs, or that job goes on without it."""
        if not self.agent:
            self.stack.start_agent()
            self.agent = True
            self.world.jobs_may_fail |= not self.world.whole
            wait_until("the agent answers", self._agent_answers)
            return "started"
        how = self.draws.choice(
            ["killed with its jobs", "killed, but not its jobs", *([] if self.quick else ["ended politely"])]
        )
        if how == "ended politely":
            self._end_agent()
            return how
        self.stack.kill_agent(with_jobs=how == "killed with its jobs")
        self.agent, self.agent_killed_us = False, CLOCK.now_us()
        self.world.jobs_may_fail = True  # what failed before is not tried again for a while
        return how

    def toggle_store(self) -> str:
        if self.world.up["store"]:
            self.stack.running.kill("store")
            if self.quick or self.draws.random() < 0.5:
                self.cut_network()
            self.world.up["store"] = False
            self.world.jobs_may_fail |= self.agent
            self.go_on_without_repository()
            return "stopped" if self.world.up["network"] else "stopped, and the way to it"
        self.start_store()
        return f"started{self.get_all_back()}"

    def toggle_offsite(self) -> str:
        if self.world.up["offsite"]:
            self.stack.running.kill("offsite")
            self.world.up["offsite"] = False
            self.world.jobs_may_fail |= self.agent
            return "stopped"
        self.stack.start_server("offsite")
        self.world.up["offsite"] = True
        return "started"

    def toggle_network(self) -> str:
        """Between the machine and the first server."""
        if self.world.up["network"]:
            self.cut_network()
            self.world.jobs_may_fail |= self.agent
            self.go_on_without_repository()
            return f"cut{self.rpo_alert()}"
        self.start_network()
        return f"there again{self.get_all_back()}"

    def toggle_delay(self) -> str:
        milliseconds = 0 if self.delayed else self.draws.choice([20] if self.quick else [20, 100, 300])
        self.stack.delay(milliseconds)
        self.delayed = milliseconds > 0
        for name in DATABASES:
            if name not in self.world.missing and (self.world.reachable or name == "async"):
                self.want_commits(name, 2)
        return f"{milliseconds} ms"

    def drill(self) -> str:
        name = self.draws.choice(DATABASES)
        done = self.world.repository(name).drill()
        if not done.ok:
            raise Broken(f"a drill of {name} failed: {done}")
        return f"{name}: commit {done.seq}"

    def backup(self) -> str:
        name = self.draws.choice(DATABASES)
        done = self.stack.tiervdb(
            "agent-job", "--config", str(self.stack.machine_file), "--database", name, "--job", "backup"
        )
        if done.returncode != 0:
            raise Broken(f"a backup of {name} failed: {done.stderr}")
        return f"{name}: {done.stdout.strip()}"

    def one_pass(self) -> str:
        """Of an agent that does what is due and ends; the one that stays is asked to end before."""
        self._end_agent()
        done = self.stack.tiervdb("agent", "--config", str(self.stack.machine_file), "--once")
        if done.returncode not in ({0, 4} if self.world.jobs_may_fail else {0}):
            raise Broken(f"agent --once ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def failing_job(self) -> str:
        """A copy while the off-site server is away is an alert, until the next one, when it is there, goes well."""
        self._end_agent()
        if self.world.up["offsite"]:
            self.toggle_offsite()
        clock = ManualClock(CLOCK.now_us() - BEHIND_SECONDS * SECOND_US)
        agent = Agent(self.stack.machine, clock, self.draws, _run_here)
        try:
            done = agent.run_due()
        finally:
            agent.close()
        if {f"{name}/copy" for name in DATABASES} - set(done):
            raise Broken(f"copy was due in both databases, and the agent did {done}")
        for name in DATABASES:
            standing = self.world.look(name)
            failed = {job for job, stands in standing.jobs.items() if stands.failed is not None}
            if "copy" not in failed or "JobFailing" not in names(standing):
                raise Broken(f"{name}: copy failed, and that is no alert: {standing.alerts}")
            if failed != {"copy"} and not self.world.jobs_may_fail:
                raise Broken(f"{name}: jobs failed that should not: {standing.alerts}")
        self.toggle_offsite()
        said = self.one_pass()
        for name in DATABASES:
            if (standing := self.world.look(name)).jobs["copy"].failed is not None:
                raise Broken(f"{name}: copy went well, and the alert stays: {standing.alerts}")
        return said

    def late_alerts(self) -> str:
        """Backup and drill are late one second after their time, and not one before."""
        name = self.draws.choice(DATABASES)
        config, standing = self.world.outside(name), self.world.look(name)
        for last, age, alert in (
            (standing.last_backup, "backup_age", "BackupLate"),
            (standing.last_drill, "drill_age", "DrillLate"),
        ):
            if last is None:
                raise Broken(f"{name}: {age} is not known")
            due_us = to_us(last) + round(config.seconds("objectives", age) * SECOND_US)
            self.world.require_edge(name, alert, due_us)
        return f"{name}: on time"

    # -- parts of cards

    def make(self, name: str) -> None:
        place = self.world.outside(name).repository().location
        with tiervdb.open(self.world.path(name), repository=place, archive="sync" if name == "sync" else "async") as db:
            db.create_collection(COLLECTION, dim=DIM, metric="l2", id_type="int64", columns={"seq": "int64"})
            self.world.told[name] = Told(db.status().timeline, name == "sync", acked=db.seq)

    def start_store(self) -> None:
        self.stack.start_server("store")
        self.world.up["store"] = True
        if not self.world.up["network"]:
            self.start_network()

    def start_network(self) -> None:
        self.stack.start_proxy()
        self.world.up["network"], self.delayed = True, False

    def cut_network(self) -> None:
        if self.world.up["network"]:
            self.stack.running.kill("proxy")
        self.world.up["network"] = False

    def start_writer(self, name: str) -> None:
        self.writers[name] = self.stack.start_writer(name, self.world.told[name])
        writer = self.writers[name]
        writer.wait_for("open the database", lambda: writer.opened)

    def stop_writer(self, name: str) -> None:
        """At once, and all that it had said is heard."""
        self.stack.running.kill(f"writer-{name}")
        self.writers[name].join()

    def want_commits(self, name: str, count: int) -> None:
        writer = self.writers[name]
        wanted = writer.commits + count
        writer.ask(count)
        writer.wait_for(f"acknowledge {count} commits more", lambda: writer.commits >= wanted)

    def want_archived(self, name: str) -> None:
        """All that is acknowledged now, by what its writer shows."""
        writer, told = self.writers[name], self.world.told[name]
        acked = told.acked
        writer.wait_for(f"archive commit {acked}", lambda: told.safe >= acked)

    def go_on_without_repository(self) -> None:
        if "async" not in self.world.missing:
            self.want_commits("async", 3)

    def get_all_back(self) -> str:
        """What was lost meanwhile, and commits of both writers."""
        if not self.world.reachable:
            return ""
        back = [self.get_back(name) for name in sorted(self.world.missing)]
        for name in DATABASES:
            self.want_commits(name, 2)
            self.want_archived(name)
        return "".join(f"; {text}" for text in back)

    def get_back(self, name: str) -> str:
        """Restores a lost database as the one that goes on, and requires that nothing is missing that was safe."""
        told = self.world.told[name]
        done = self.stack.machine[name].repository().restore(self.world.path(name), attach=True)
        assert isinstance(done, tiervdb.RestoreResult)
        if done.seq < told.safe:
            raise Broken(f"{name}: commit {told.safe} was safe, and the restore ends at {done.seq}")
        self.world.lines[name].fork(done.timeline, told.timeline, done.seq)
        self.world.told[name] = Told(done.timeline, name == "sync", acked=done.seq, safe=done.seq)
        self.world.missing.discard(name)
        self.world.require_alerts()
        self.start_writer(name)
        self.want_commits(name, 2)
        return f"{name} is back at commit {done.seq} of {told.acked} that were acknowledged"

    def rpo_alert(self) -> str:
        """While a writer cannot ship, its RPO is missed one second after its time, and not one before."""
        if not self.world.up["store"] or "async" in self.world.missing:
            return ""
        config = self.world.outside("async")
        last = self.world.look("async").window_last
        if last is None:
            raise Broken("nothing of async can be restored")
        self.world.require_edge(
            "async", "RpoMissed", to_us(last) + round(config.seconds("objectives", "rpo") * SECOND_US)
        )
        return ", and the RPO is said to be missed in time"

    # -- calm

    def calm(self) -> str:
        """Nothing is disturbed until all alerts are cleared by the agent alone."""
        if not self.agent:
            self.toggle_agent()
        wait_until(
            "no alert is raised", lambda: not any(names(self.world.look(name)) for name in DATABASES), CALM_SECONDS
        )
        self.world.jobs_may_fail = False
        return "all is well"

    def _lease_is_free(self) -> bool:
        return CLOCK.now_us() - self.agent_killed_us > LEASE_SECONDS * SECOND_US

    def _end_agent(self) -> None:
        if self.agent:
            self.stack.end_agent()
            self.agent = False

    def _agent_answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.stack.running.place.agent}/metrics", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


def _run_here(_config: Configuration, database: DatabaseConfiguration, job: str, _deadline: float) -> Outcome:
    """A job of an agent, without a process of its own, which takes longer."""
    try:
        return Outcome(jobs.run(database, job), None)
    except TiervdbError as error:
        return Outcome("", str(error))
