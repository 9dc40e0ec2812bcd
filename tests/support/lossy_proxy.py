"""A TCP proxy that forwards requests and can lose the replies: the server has acted, the client never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK = 1 << 16


class LossyProxy:
    """Listens on a port of its own and forwards to another. ``lose_replies``: how many replies to swallow from now."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose_replies = 0
        self.lost = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink, replies in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, replies), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while block := source.recv(_BLOCK):
                if replies and self._swallows(block):
                    break
                sink.sendall(block)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if replies:
            source.close()
            sink.close()

    def _swallows(self, block: bytes) -> bool:
        with self._lock:
            if self.lose_replies and not block.startswith(b"HTTP/1.1 100"):
                self.lose_replies -= 1
                self.lost += 1
                return True
        return False


@contextmanager
def lossy_proxy(target_port: int) -> Iterator[LossyProxy]:
    """A proxy in front of a port, as long as the block lasts."""
    proxy = LossyProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
