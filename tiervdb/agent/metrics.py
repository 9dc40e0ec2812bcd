"""Prometheus metrics of databases, and the small server that answers for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tiervdb.agent.standing import Standing
from tiervdb.database.database import Database
from tiervdb.database.totals import LATENCY_BOUNDS, SearchTotals
from tiervdb.errors import StateError
from tiervdb.types import to_us

Standings = Callable[[], Sequence[Standing]]
Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]


class StandingCollector:
    """Turns how databases stand into metrics, at each scrape."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings

    def collect(self) -> Iterable[Metric]:
        found = list(self._standings())
        yield _gauge("tiervdb_up", "Whether nothing is wrong.", [(s, (), float(s.ok)) for s in found])
        lag = "Age of the newest restorable moment, seconds: what would be lost now."
        yield _gauge("tiervdb_archive_lag_seconds", lag, [(s, (), s.rpo_seconds) for s in found])
        window = "Length of what can be restored, seconds."
        yield _gauge("tiervdb_restorable_window_seconds", window, [(s, (), s.window_seconds) for s in found])
        rto = "First answer of the last good drill, seconds."
        yield _gauge("tiervdb_drill_rto_seconds", rto, [(s, (), s.rto_seconds) for s in found])
        yield from self._jobs(found)
        for name, meaning, tiers in (
            ("tiervdb_bytes", "Bytes of segments, by tier.", "bytes_by_tier"),
            ("tiervdb_segments", "Segments, by tier.", "segments_by_tier"),
        ):
            samples = [(s, (tier,), float(n)) for s in found for tier, n in getattr(s, tiers).items()]
            yield _gauge(name, meaning, samples, ("tier",))
        alerts = [(s, (alert.name,), 1.0) for s in found for alert in {a.name: a for a in s.alerts}.values()]
        yield _gauge("tiervdb_alert", "1 for each thing that is wrong.", alerts, ("alert",))

    @staticmethod
    def _jobs(found: Sequence[Standing]) -> Iterator[Metric]:
        done = [(s, (j,), to_us(t.done) / 1e6) for s in found for j, t in s.jobs.items() if t.done is not None]
        yield _gauge("tiervdb_last_success_timestamp_seconds", "When a job last went well.", done, ("task",))
        failing = [(s, (j,), float(t.failed is not None)) for s in found for j, t in s.jobs.items()]
        yield _gauge("tiervdb_job_failing", "Whether a job's last attempt failed.", failing, ("task",))


class DatabaseCollector:
    """The searches, caches and tiers of a database that this process has open."""

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._name = name

    def collect(self) -> Iterable[Metric]:
        stats, status = self._db.stats(), self._db.status()
        yield self._one(GaugeMetricFamily, "tiervdb_rows", "Live rows.", stats.rows)
        yield self._one(GaugeMetricFamily, "tiervdb_local_bytes", "Bytes of segments on local disk.", stats.local_bytes)
        yield self._one(GaugeMetricFamily, "tiervdb_cold_bytes", "Bytes of cold objects.", stats.cold_bytes)
        yield self._one(GaugeMetricFamily, "tiervdb_seq", "The newest commit.", status.seq)
        lag = "For how long something is not archived, seconds."
        yield self._one(GaugeMetricFamily, "tiervdb_writer_archive_lag_seconds", lag, status.archive_lag)
        missing = "Bytes that a lazy restore has still to fetch."
        yield self._one(GaugeMetricFamily, "tiervdb_missing_bytes", missing, status.missing_bytes)
        yield from self._searches(stats.searches)

    def _searches(self, done: SearchTotals) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "tiervdb_search_seconds",
            "How long searches took: on this disk only (hot), or with the cold tier (cold).",
            labels=["database", "tier"],
        )
        for tier, latencies in (("hot", done.hot), ("cold", done.cold)):
            bounds = [*(str(bound) for bound in LATENCY_BOUNDS), "+Inf"]
            buckets = list(zip(bounds, accumulate(latencies.counts), strict=True))
            seconds.add_metric([self._name, tier], buckets, latencies.seconds)
        yield seconds
        for name, meaning, value in (
            ("tiervdb_search_gets", "Requests of searches to the cold store.", done.gets),
            ("tiervdb_search_bytes", "Bytes that these brought.", done.bytes),
            ("tiervdb_search_cache_hits", "Ranges of cold objects that the disk cache had.", done.cache_hits),
        ):
            yield self._one(CounterMetricFamily, name, meaning, value)

    def _one(self, kind: Kind, name: str, meaning: str, value: float | None) -> Metric:
        family = kind(name, meaning, labels=["database"])
        if value is not None:
            family.add_metric([self._name], value)
        return family


class MetricsServer:
    """Answers /metrics and /healthz (200, or 503 if a database has an alert) at an address, in threads of its own."""

    def __init__(self, address: str, registry: CollectorRegistry, healthy: Callable[[], bool]) -> None:
        """StateError if the address cannot be had."""
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host, int(port)), _handler(registry, healthy))
        except (OSError, OverflowError) as error:
            raise StateError(
                f'{address} cannot be listened at ({error}); give another address, or "" for no metrics, as listen in '
                "[agent]"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="tiervdb-metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def registry_of(*collectors: StandingCollector | DatabaseCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def serve_database(db: Database, address: str = "127.0.0.1:9465", name: str | None = None) -> MetricsServer:
    """/metrics for an application that has a database open. Close it before the database."""
    collector = DatabaseCollector(db, name or str(db.path))
    return MetricsServer(address, registry_of(collector), lambda: db.status().background is None)


Sample = tuple[Standing, tuple[str, ...], float | None]  # whose it is, the values of further labels, the value


def _gauge(name: str, meaning: str, samples: Iterable[Sample], labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=["database", *labels])
    for standing, values, value in samples:
        if value is not None:
            family.add_metric([standing.database, *values], value)
    return family


def _handler(registry: CollectorRegistry, healthy: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                ok = healthy()
                self._answer(200 if ok else 503, b"ok\n" if ok else b"not well; see tiervdb status\n", "text/plain")
            else:
                self._answer(404, b"there are /metrics and /healthz\n", "text/plain")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a line."""

    return Handler
