"""Send real HTTP requests to an application, and record the fate of each.

What the client sees is what is recorded. Where a proxy process of the engine serves a published port (on Linux it does
for 127.0.0.1), the proxy accepts a connection before it knows whether anyone listens behind it: a request that the
application would have *refused* is then *cut*. Either way it is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import struct
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..records import Request, Traffic

if TYPE_CHECKING:
    import httpx

KEPT_BYTES = 1_000_000
"""What is kept of one answer of an application, or of what a command in its container prints. No more is read."""

HEADERS_BYTES = 100 * 1024
"""How long the headers of a response may be."""


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers, and how its body begins, as it was sent."""

    status: int
    headers: httpx.Headers
    body: bytes


class InFlight:
    """One request, and what is known of it so far.

    Attributes:
        path: of its URL.
        due_seconds: when it should be sent, from the start of its traffic.
        sent: whether all of it was handed to the network.
        answering: whether the first byte of the response's body has arrived.
        status: the response's, once that has arrived.
        version: what the response's header `X-Version` says.
        late_seconds: how long after `due_seconds` it was really sent.
        request: the record of its fate, once that is known.
    """

    def __init__(self, path: str, due_seconds: float) -> None:
        self.path = path
        self.due_seconds = due_seconds
        self.late_seconds = 0.0
        self.sent = False
        self.answering = False
        self.status: int | None = None
        self.version = ""
        self.request: Request | None = None


@functools.lru_cache(maxsize=256)
def _joined(url: str, path: str) -> httpx.URL:
    import httpx

    return httpx.URL(f"{url.rstrip('/')}/{path.lstrip('/')}")


class Running:
    """Traffic that is under way, in a thread of its own: a notebook's main thread has an event loop already.

    Attributes:
        began: when it began, on the clock of `time.perf_counter`.
        in_flight: the requests, in the order in which they are sent.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        if not _is_address(url):
            raise LabError(
                f"Requests cannot be sent to {url!r}.",
                "Write `service.url`: it begins with http://, and is empty where a container serves no HTTP.",
            )
        self.began = time.perf_counter()
        self.in_flight: list[InFlight] = []
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._under_way = threading.Event()
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="traffic")

    @property
    def traffic(self) -> Traffic:
        """The requests whose fate is known: all of them once the traffic has ended."""
        return Traffic(
            requests=tuple(flight.request for flight in self.in_flight if flight.request),
            late_seconds=max((flight.late_seconds for flight in self.in_flight), default=0.0),
        )

    def join(self) -> None:
        """Send no more, and wait until the fate of each request is known.

        Raises:
            LabError: this machine could not open the connections.
        """
        self._enough.set()
        try:
            self._result.result()
        finally:
            self._pool.shutdown()

    def _run(self, main: Coroutine[Any, Any, None]) -> Running:
        self._result = self._pool.submit(asyncio.run, main)
        return self

    async def _together(self) -> None:
        self.began = time.perf_counter()
        await asyncio.gather(*(self._send(flight) for flight in self.in_flight))

    async def _steadily(self, path: str, per_second: float) -> None:
        tasks = []
        self.began = time.perf_counter()
        self._under_way.set()
        while await self._is_due(len(self.in_flight) / per_second):
            flight = InFlight(path, len(self.in_flight) / per_second)
            self.in_flight.append(flight)
            tasks.append(asyncio.create_task(self._send(flight)))
        await asyncio.gather(*tasks)

    async def _is_due(self, seconds: float) -> bool:
        """Wait until so long after the beginning; False where the traffic is to end before."""
        while not self._enough.is_set():
            wait = self.began + seconds - time.perf_counter()
            await asyncio.sleep(min(max(wait, 0), 0.05))  # in short pieces, so that a slow rate does not delay the end
            if wait <= 0.05:
                return True
        return False

    async def _send(self, flight: InFlight) -> None:
        """Send one request, on a connection of its own, and follow it to its end.

        On a kept connection, a request can be lost because the server closes the idle connection at that moment, and a
        client would send it again: that is not the fate of a request. A proxy that the environment names is ignored.
        """
        import h11

        flight.late_seconds = max(0.0, time.perf_counter() - self.began - flight.due_seconds)
        url = _joined(self._url, flight.path)
        tls = url.scheme == "https"
        fate, error = "answered", ""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    reader, writer = await asyncio.open_connection(
                        url.host, url.port or (443 if tls else 80), ssl=tls or None
                    )
                except OSError as problem:
                    _raise_own_fault(problem)
                    fate, error = "refused", str(problem)
                else:
                    with contextlib.closing(writer):
                        await self._exchange(flight, url, reader, writer)
                        _close_by_reset(writer)
        except TimeoutError:
            fate, error = "timed out", f"nothing more within {self._timeout_seconds:g} s"
        except (OSError, h11.RemoteProtocolError) as problem:
            fate, error = "cut", str(problem)
        flight.request = Request(
            path=flight.path,
            started_seconds=flight.due_seconds,
            seconds=time.perf_counter() - self.began - flight.due_seconds,
            fate=fate,
            status=flight.status,
            error=error,
            version=flight.version,
            late_seconds=flight.late_seconds,
        )

    async def _exchange(
        self, flight: InFlight, url: httpx.URL, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        import h11

        talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS_BYTES)
        headers = [(b"Host", url.netloc), (b"Accept", b"*/*")]
        request = h11.Request(method="GET", target=url.raw_path, headers=headers)
        writer.write((talk.send(request) or b"") + (talk.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        flight.sent = True
        while True:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                if not data and flight.status is None:
                    raise ConnectionResetError("the connection was closed before there was an answer")
                talk.receive_data(data)
            elif isinstance(event, h11.Response):
                flight.status = event.status_code
                flight.version = dict(event.headers).get(b"x-version", b"").decode("latin-1")
            elif isinstance(event, h11.Data):
                flight.answering = True
            elif isinstance(event, h11.EndOfMessage):
                return


def _close_by_reset(writer: asyncio.StreamWriter) -> None:
    """Have a connection whose exchange is complete closed by a reset.

    Closed in the usual way, it stays in the kernel's tables for two minutes (net.netfilter's
    nf_conntrack_tcp_timeout_time_wait). The engine reads these tables whenever a container starts or stops, so at a
    hundred connections a second the traffic would slow down what it measures.
    """
    if writer.get_extra_info("sslcontext") is None:  # TLS still has its close_notify to send
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # on, for 0 seconds
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _is_address(url: str) -> bool:
    import httpx

    with contextlib.suppress(httpx.InvalidURL, TypeError):
        parsed = httpx.URL(url)
        return parsed.scheme in ("http", "https") and bool(parsed.host) and (parsed.port or 80) < 65536
    return False


def get(url: str, *, seconds: float, headers: Mapping[str, str] | None = None) -> Answer:
    """Send one request, and read at most `KEPT_BYTES` of the answer. Then the connection is closed.

    Args:
        url: where to.
        seconds: how long each read, and the whole body, may take.
        headers: further request headers.

    Raises:
        httpx.TransportError: there was no answer, or not all of it in time.
    """
    import httpx

    deadline = time.monotonic() + seconds
    # Nothing is unpacked: some kilobytes may be packed gigabytes.
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    body = bytearray()
    with (
        httpx.Client(trust_env=False) as client,  # a proxy that the environment names is not for this
        client.stream("GET", url, headers=headers, timeout=seconds) as response,
    ):
        for chunk in response.iter_raw():
            body.extend(chunk[: KEPT_BYTES - len(body)])
            if len(body) == KEPT_BYTES:
                break
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"the answer did not end within {seconds:g} s")
    return Answer(response.status_code, response.headers, bytes(body))


def start(url: str, paths: Sequence[str], *, timeout_seconds: float = 30) -> Running:
    """Send requests, all at once, and return without waiting for their answers.

    Args:
        url: where to: ``http://127.0.0.1:49153``.
        paths: one request for each.
        timeout_seconds: how long each may take, from start to end.
    """
    running = Running(url, timeout_seconds)
    running.in_flight = [InFlight(path, 0.0) for path in ([paths] if isinstance(paths, str) else paths)]
    return running._run(running._together())


def send(url: str, paths: Sequence[str], *, timeout_seconds: float = 30) -> Traffic:
    """Send requests, all at once, and wait until the fate of each is known.

    Args:
        url: where to: ``http://127.0.0.1:49153``.
        paths: one request for each.
        timeout_seconds: how long each may take, from start to end.

    Raises:
        LabError: this machine could not open the connections.
    """
    running = start(url, paths, timeout_seconds=timeout_seconds)
    running.join()
    return running.traffic


@contextlib.contextmanager
def steady(url: str, path: str, *, per_second: float, timeout_seconds: float = 30) -> Iterator[Running]:
    """Send requests at a steady rate for as long as the `with` block lasts; `running.traffic` holds them afterwards.

    The rate does not depend on the answers: a server that hangs gets more requests, as from real clients. The time of
    each counts from when it was due. Where this machine cannot keep up, requests are sent late and none is skipped;
    `Traffic.late_seconds` says how late.

    Args:
        url: where to: ``http://127.0.0.1:49153``.
        path: of each request.
        per_second: how many requests are sent each second.
        timeout_seconds: how long each may take, from start to end.

    Raises:
        LabError: this machine could not open the connections.
    """
    if not isinstance(per_second, int | float) or per_second <= 0:
        raise LabError(f"{per_second!r} requests a second cannot be sent.", "Give a number above 0.")
    running = Running(url, timeout_seconds)
    running._run(running._steadily(path, per_second))
    running._under_way.wait(timeout_seconds)
    try:
        yield running
    finally:
        running.join()


def _raise_own_fault(error: OSError) -> None:
    """A limit of this machine is not the fate of a request."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
        raise LabError(
            f"This machine could not open another connection ({error.strerror}).",
            "Send fewer requests at the same time, or raise the limit of open files (`ulimit -n`).",
        ) from error
