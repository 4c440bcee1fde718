"""Each fate that a request can have, from a server that does what it is told."""

import asyncio
import contextlib
import gzip
import resource
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from dockerlab.errors import LabError
from dockerlab.records import Request, Traffic
from dockerlab.run import traffic

TOGETHER = 5
PACKED = gzip.compress(b"0" * 20_000_000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gathering = threading.Barrier(TOGETHER)

    def do_GET(self):
        getattr(self, self.path.split("?")[0].strip("/"))()

    def whole(self, status=200, version=None):
        self.send_response(status)
        self.send_header("Content-Length", "2")
        if version:
            self.send_header("X-Version", version)
        self.end_headers()
        self.wfile.write(b"{}")

    def error(self):
        self.whole(500)

    def versioned(self):
        self.whole(version="2.1")

    def versioned_error(self):
        self.whole(503, version="2.1")

    def slow(self):
        time.sleep(0.5)
        self.whole()

    def together(self):
        self.gathering.wait(timeout=10)  # answered only when all are here
        self.whole()

    def hangs(self):
        self.server.over.wait(timeout=30)

    def cut_before_an_answer(self):
        self.close_connection = True

    def cut_in_its_middle(self):
        self.chunk()
        self.close_connection = True

    def stream(self):
        self.chunk()
        self.wfile.write(b"0\r\n\r\n")

    def endless(self, *headers):
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.server.sent = 0
        with contextlib.suppress(OSError):
            while not self.server.over.is_set():
                self.server.sent += self.wfile.write(b"x" * 65536)
        self.server.gone.set()

    def packed(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(PACKED)))
        self.end_headers()
        self.wfile.write(PACKED)

    def drips(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.02):
                self.wfile.write(b"x")

    def chunk(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\ndata\r\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.over, server.gone = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("path", "fate", "status"),
    [
        ("/whole", "answered", 200),
        ("/error", "answered", 500),
        ("/stream", "answered", 200),  # a stream that the server ends has a whole response
        ("/cut_before_an_answer", "cut", None),
        ("/cut_in_its_middle", "cut", 200),
        ("/hangs", "timed out", None),
    ],
)
def test_the_fate_of_a_request(url, path, fate, status):
    (request,) = traffic.send(url, [path], timeout_seconds=0.5).requests
    assert (request.path, request.fate, request.status) == (path, fate, status)
    assert (request.error == "") == (fate == "answered")


def test_an_answer_tells_which_version_gave_it(url):
    sent = traffic.send(url, ["/versioned", "/whole", "/versioned_error", "/cut_before_an_answer"])
    assert [request.version for request in sent.requests] == ["2.1", "", "2.1", ""]
    assert sent.answered_by() == {"2.1": 1, "": 1}, "an error is no answer"
    assert (sent.lost, sent.failed) == (1, 2)


def test_where_nobody_listens_a_request_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else gets this port meanwhile
        (request,) = traffic.send(f"http://127.0.0.1:{free.getsockname()[1]}", ["/"]).requests
    assert request.fate == "refused"


def test_a_connection_is_closed_by_a_reset_once_its_answer_is_whole():
    """What is closed in the usual way stays in the kernel's tables, which an engine reads at each start and stop."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = traffic.start(f"http://127.0.0.1:{server.getsockname()[1]}", ["/"])
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            with pytest.raises(ConnectionResetError):
                connection.recv(1000)
        running.join()
    assert running.in_flight[0].request.fate == "answered"


def test_requests_are_sent_all_at_once(url):
    sent = traffic.send(url, ["/together"] * TOGETHER, timeout_seconds=10)
    assert sent.count("answered") == TOGETHER
    assert sent.lost == 0


def test_a_notebook_whose_event_loop_runs_can_send_requests(url):
    async def cell():
        return traffic.send(url, ["/whole"])

    assert asyncio.run(cell()).count("answered") == 1


def test_a_proxy_that_the_environment_names_is_not_asked(url, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert traffic.send(url, ["/whole"]).count("answered") == 1


def test_what_is_known_of_a_request_on_its_way(url):
    running = traffic.start(url, ["/hangs", "/stream"], timeout_seconds=1)
    deadline = time.monotonic() + 10
    while not (all(flight.sent for flight in running.in_flight) and running.in_flight[1].answering):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    hanging, _ = running.in_flight
    assert not hanging.answering
    assert hanging.request is None
    running.join()
    assert [request.fate for request in running.traffic.requests] == ["timed out", "answered"]


def test_a_steady_rate_keeps_its_schedule_though_the_server_is_slow(url):
    began = time.monotonic()
    with traffic.steady(url, "/slow", per_second=40) as running:
        while len(running.in_flight) < 40:
            time.sleep(0.01)
    sent = running.traffic
    assert [request.started_seconds for request in sent.requests] == [n / 40 for n in range(len(sent.requests))]
    assert time.monotonic() - began < 15, "one after the other, it would take 20 s"
    assert sent.lost == 0


def test_a_rate_that_cannot_be_kept_is_told_and_nothing_left_out(url):
    with traffic.steady(url, "/whole", per_second=20_000) as running:
        while len(running.in_flight) < 100:
            time.sleep(0.01)
    sent = running.traffic
    assert [request.started_seconds for request in sent.requests] == [n / 20_000 for n in range(len(sent.requests))]
    assert sent.late_seconds == max(request.late_seconds for request in sent.requests) > 0
    assert max(request.seconds for request in sent.requests) >= sent.late_seconds, "counted from when it was due"


def test_a_slow_rate_does_not_delay_the_end(url):
    began = time.monotonic()
    with traffic.steady(url, "/whole", per_second=0.01) as running:
        while not running.in_flight:
            time.sleep(0.01)
    assert time.monotonic() - began < 20, "the next request would be due after 100 s"
    assert len(running.traffic.requests) == 1


def test_a_limit_of_this_machine_is_not_the_fate_of_a_request(url):
    program = f"""
import resource
from dockerlab.run import traffic
from dockerlab.errors import LabError
resource.setrlimit(resource.RLIMIT_NOFILE, (60, {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}))
try:
    print(traffic.send({url!r}, ["/hangs"] * 100, timeout_seconds=3))
except LabError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "could not open another connection (Too many open files)" in run.stdout, run.stdout + run.stderr


def test_a_traffic_is_told_in_one_line():
    requests = [Request("/", 0, 0.1, "answered", 200)] * 2 + [Request("/", 0, 0.1, "answered", 502)]
    assert repr(Traffic((*requests, Request("/", 0, 0.1, "cut")))) == "4 requests, 2 answered, 1 answered 502, 1 cut"


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", None])
def test_what_is_no_address_is_not_the_fate_of_a_request(url):
    """`service.url` is empty where a container serves no HTTP."""
    with pytest.raises(LabError, match="cannot be sent to"):
        traffic.send(url, ["/"])
    with pytest.raises(LabError, match="cannot be sent to"), traffic.steady(url, "/", per_second=1):
        pass


@pytest.mark.parametrize("rate", [0, -1, "10"])
def test_a_rate_is_above_zero(url, rate):
    """A negative one would send as fast as it can."""
    with pytest.raises(LabError, match="requests a second cannot be sent"), traffic.steady(url, "/", per_second=rate):
        pass


def test_one_path_may_stand_alone(url):
    (request,) = traffic.send(url, "/whole").requests
    assert (request.path, request.fate) == ("/whole", "answered")


# --- answers that mean harm ------------------------------------------------------------------------------------------


def test_an_answer_is_read_whole(url):
    answer = traffic.get(f"{url}/versioned_error", seconds=5)
    assert (answer.status, answer.headers["x-version"], answer.body) == (503, "2.1", b"{}")


def test_of_an_answer_without_end_so_much_is_kept_and_the_connection_is_closed(url, server):
    answer = traffic.get(f"{url}/endless", seconds=30)
    assert (answer.status, len(answer.body)) == (200, traffic.KEPT_BYTES)
    assert server.gone.wait(10), "it is still being read"
    assert server.sent < 20 * traffic.KEPT_BYTES, "what the system's buffers hold, and no more"


def test_a_packed_answer_stays_packed(url):
    assert traffic.get(f"{url}/packed", seconds=5).body == PACKED


def test_an_answer_that_comes_byte_by_byte_is_given_up(url):
    with pytest.raises(httpx.ReadTimeout):
        traffic.get(f"{url}/drips", seconds=0.1)


def test_nothing_is_kept_of_an_answer_whose_fate_alone_matters(url, server):
    tracemalloc.start()
    try:
        (request,) = traffic.send(url, ["/endless"], timeout_seconds=0.5).requests
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert request.fate == "timed out"
    assert server.sent > 4 * traffic.KEPT_BYTES
    assert held < 4 * traffic.KEPT_BYTES
