"""An HTTP proxy in front of an S3 server: it delays every request and logs it.

``python -m benchmarks.latency_proxy --port 9400 --target http://127.0.0.1:8333 --delay-ms 30``

``GET /__reset`` forgets the log, ``GET /__stats`` tells requests, bytes and waves: groups of requests that overlap in
time, which is the number of round trips that a client had to wait for. ``GET /__delay?ms=30`` changes the delay.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field

from aiohttp import ClientSession, TCPConnector, web

_NOT_PASSED = {"transfer-encoding", "expect", "connection"}
_OUR_OWN = ("User-Agent", "Content-Type", "Accept", "Accept-Encoding")  # must not be added to what was signed


@dataclass
class Log:
    """What went through: start, end, method, bytes up and down of each request."""

    rows: list[tuple[float, float, str, int, int]] = field(default_factory=list)

    def stats(self) -> dict[str, object]:
        """Sums of all requests since the log was reset."""
        methods: dict[str, int] = {}
        for _, _, method, _, _ in self.rows:
            methods[method] = methods.get(method, 0) + 1
        return {
            "requests": len(self.rows),
            "by_method": methods,
            "bytes_up": sum(row[3] for row in self.rows),
            "bytes_down": sum(row[4] for row in self.rows),
            "waves": self._waves(),
        }

    def _waves(self) -> int:
        waves, end = 0, -1.0
        for started, ended, *_ in sorted(self.rows):
            if started >= end:
                waves += 1
            end = max(end, ended)
        return waves


class Proxy:
    """Passes requests on to ``target`` after ``delay`` seconds."""

    def __init__(self, target: str, delay: float, session: ClientSession) -> None:
        self._target = target
        self._delay = delay
        self._session = session
        self._log = Log()

    async def handle(self, request: web.Request) -> web.Response:
        """One request: of a client, or about the log."""
        if request.path == "/__reset":
            self._log.rows.clear()
            return web.Response(text="ok")
        if request.path == "/__stats":
            return web.json_response(self._log.stats())
        if request.path == "/__delay":
            self._delay = float(request.query["ms"]) / 1000
            return web.Response(text="ok")
        return await self._pass_on(request)

    async def _pass_on(self, request: web.Request) -> web.Response:
        started = time.monotonic()
        body = await request.read()
        await asyncio.sleep(self._delay)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_PASSED}
        async with self._session.request(
            request.method,
            self._target + request.raw_path,
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=_OUR_OWN,
        ) as answer:
            data = await answer.read()
            passed = {k: v for k, v in answer.headers.items() if k.lower() not in {*_NOT_PASSED, "content-length"}}
            head = request.method == "HEAD"
            if head and "Content-Length" in answer.headers:
                passed["Content-Length"] = answer.headers["Content-Length"]
            response = web.Response(status=answer.status, headers=passed, body=None if head else data)
        self._log.rows.append((started, time.monotonic(), request.method, len(body), 0 if head else len(data)))
        return response


async def serve(port: int, target: str, delay_ms: float) -> None:
    """Serves until it is cancelled."""
    async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as session:
        app = web.Application(client_max_size=1 << 31)
        app.router.add_route("*", "/{tail:.*}", Proxy(target, delay_ms / 1000, session).handle)
        runner = web.AppRunner(app, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--target", default="http://127.0.0.1:8333")
    parser.add_argument("--delay-ms", type=float, default=30)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.target, given.delay_ms))
