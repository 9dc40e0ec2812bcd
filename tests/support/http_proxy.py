"""An HTTP proxy in front of an S3 server that misbehaves as told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_HOP = frozenset({"transfer-encoding", "connection", "content-length"})
_SIGNED_ANEW = frozenset({"authorization", "host", "x-amz-date", "x-amz-content-sha256", "content-length"})
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class HttpProxy:
    """``strip``: names of headers that the server never sees. ``slow_down``, ``cut``, ``swallow``: how many of the next
    requests get a 503, a body one byte shorter than its Content-Length (GETs only), or no reply at all (PUTs only).

    ``count``: how many did. What is stripped was signed, so those requests are signed anew with ``options``' keys.
    """

    def __init__(self, target_port: int, options: Mapping[str, object]) -> None:
        self.credentials = Credentials(str(options["key"]), str(options["secret"]))
        self.strip: frozenset[str] = frozenset()
        self.slow_down = self.cut = self.swallow = 0
        self.count = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target_port))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def takes(self, what: str) -> bool:
        """Whether the next of these misfortunes strikes now."""
        with self._lock:
            left: int = getattr(self, what)
            if left:
                setattr(self, what, left - 1)
                self.count += 1
            return left > 0


def _handler(proxy: HttpProxy, target_port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.takes("slow_down"):
                self.answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
                return
            reply, data = self.ask(body)
            if self.command == "PUT" and proxy.takes("swallow"):
                self.close_connection = True
                return
            headers = [(name, value) for name, value in reply.getheaders() if name.lower() not in _HOP]
            length = reply.getheader("Content-Length") if self.command == "HEAD" else None
            cut = self.command == "GET" and reply.status < 300 and bool(data) and proxy.takes("cut")
            self.answer(reply.status, headers, data, length, cut=cut)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward

        def ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", target_port)
            kept = {n: v for n, v in self.headers.items() if n.lower() not in proxy.strip and n.lower() != "expect"}
            if len(kept) < len(self.headers):
                kept = self.signed(body, kept)
            connection.request(self.command, self.path, body or None, kept)
            reply = connection.getresponse()
            data = reply.read()
            connection.close()
            return reply, data

        def signed(self, body: bytes, headers: dict[str, str]) -> dict[str, str]:
            kept = {n: v for n, v in headers.items() if n.lower() not in _SIGNED_ANEW}
            request = AWSRequest(self.command, f"http://127.0.0.1:{target_port}{self.path}", kept, body)
            S3SigV4Auth(proxy.credentials, "s3", "us-east-1").add_auth(request)
            return dict(request.headers.items())

        def answer(
            self, status: int, headers: list[tuple[str, str]], data: bytes, length: str | None = None, cut: bool = False
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[:-1] if cut else data)
            if cut:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@contextmanager
def http_proxy(target_port: int, options: Mapping[str, object]) -> Iterator[HttpProxy]:
    """A proxy in front of a port, as long as the block lasts."""
    proxy = HttpProxy(target_port, options)
    try:
        yield proxy
    finally:
        proxy.close()
