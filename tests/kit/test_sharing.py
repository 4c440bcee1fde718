"""A room: resume after a cut, a file that is altered on the way, and forty at once from one process."""

import contextlib
import json
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from dockerlab import wait
from dockerlab.engine import portable
from dockerlab.engine.portable import Refused
from dockerlab_kit import kit_server, sharing
from kit.conftest import shared, write_kit

DEB = "debs/trixie/a+b~1%3a2_amd64.deb"


def ask(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def participants(url: str) -> list[dict]:
    return json.loads(ask(f"{url}/status")[1])["participants"]


def content(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_line_that_participants_type(kit, tmp_path):
    """Word for word, in a shell, by a Python that has no package at all."""
    place = tmp_path / "it's here"
    place.mkdir()
    with shared(kit) as (_, url):
        result = typed(sharing.line(kit, url), place)
        assert result.returncode == 0, result.stderr
        assert portable.short_digest(kit) in result.stdout
        assert content(place / "kit") == content(kit)
        assert [(row["percent"], row["state"]) for row in participants(url)] == [(100, "complete")]
    # What it says to type next is one word for the shell, wherever the kit lies.
    make = shlex.split(result.stdout.rpartition("&& make lab ")[2])
    assert make == [f"DOCKERLAB_KIT={place / 'kit'}"]


def typed(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    line = line.replace("python3", f"{shlex.quote(sys.executable)} -I -S")
    return subprocess.run(["sh", "-c", line], cwd=place, capture_output=True, text=True, check=False, timeout=60)


def test_what_comes_in_place_of_the_client_is_not_run(kit, tmp_path, faulty):
    """Somebody on the network answers `/get`: the line checks before it runs a word of it."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "get").write_bytes(kit_server.client(kit) + b"open('harm', 'w')\n")
    url, _ = faulty(kit=other)
    result = typed(sharing.line(kit, url), tmp_path)
    assert result.returncode == 1
    assert result.stderr == "This is not what was shared: nothing was run.\n"
    assert not (tmp_path / "harm").exists()


def test_another_kit_is_not_taken(kit, tmp_path, faulty):
    """The client is the right one, and the rest comes from somebody else: checksums and files that fit each other."""
    other = write_kit(tmp_path / "other", {"base.tar.gz": 1000})
    (other / "get").write_bytes(kit_server.client(kit))
    url, asked = faulty(kit=other)
    result = typed(sharing.line(kit, url), other)
    assert result.returncode == 2
    assert "SHA256SUMS is altered" in result.stderr
    assert [name for name, _ in asked] == ["get", "SHA256SUMS"]


@pytest.fixture
def small_room(kit, monkeypatch):
    """A server in a thread that has room for eight. Gives its address."""
    monkeypatch.setattr(kit_server, "CONNECTIONS", 8)
    monkeypatch.setattr(kit_server, "SILENT_SECONDS", 0.05)
    app, _ = kit_server.application(write_kit(kit.parent / "large", {"base.tar.gz": 30_000_000}))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = kit_server.server(app)
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        serving.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = server.force_exit = True
            serving.join(timeout=20)


ASKED = b"GET /base.tar.gz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /base", ASKED, b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"],
    ids=["nothing", "half a request", "takes nothing of the answer", "half a body"],
)
def test_silent_connections_do_not_shut_the_room_out(small_room, said):
    """More of them than there is room for, and a participant is served all the same."""
    url = f"http://127.0.0.1:{small_room[1]}"
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(small_room)).sendall(said)
        # Whoever comes in the moment before they count as silent is told to come again, and does.
        assert wait.until(lambda: (code := ask(f"{url}/SHA256SUMS")[0]) != 503 and code, 10) == 200


def test_who_is_served_keeps_the_place(small_room):
    """A download that goes on is not put out for silent ones."""
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(socket.create_connection(small_room, timeout=20))
        serving.sendall(ASKED)
        got = 0
        for _ in range(30):
            stack.enter_context(socket.create_connection(small_room))
            for _ in range(20):
                got += len(serving.recv(60_000))
        while got < 30_000_000:
            more = len(serving.recv(1 << 20))
            assert more, f"cut after {got} bytes"
            got += more


def test_only_the_kit_is_served(kit):
    (kit / "secret").write_text("not in SHA256SUMS")
    with shared(kit) as (_, url):
        for path in ("secret", "../secret", "%2e%2e/secret", "wheels", ".partial/x", "wheels/../secret"):
            code, body = ask(f"{url}/{path}")
            assert code == 404, path
            assert b"not in" not in body
        code, part = ask(f"{url}/lab.tar.gz", Range="bytes=990-")
        assert (code, part) == (206, (kit / "lab.tar.gz").read_bytes()[990:])


def test_who_has_how_much(kit):
    with shared(kit) as (_, url):
        ask(f"{url}/{DEB.replace('%', '%25')}", Range="bytes=0-99999", **{"X-Participant": f"{'0' * 16} anna <b>"})
        row = participants(url)[0]
        assert (row["name"], row["address"], row["state"]) == ("annab", "127.0.0.1", "fetching")
        assert 30 < row["percent"] < 36
        urllib.request.urlopen(f"{url}/status", json.dumps({"state": "x" * 5000}).encode(), timeout=20).close()
        assert len(participants(url)[-1]["state"]) < 100


def test_a_kit_that_is_not_whole_is_not_shared(kit):
    (kit / DEB).write_bytes(b"")
    command = [sys.executable, "-m", "dockerlab.cli", "share", str(kit), "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert f"{DEB} is truncated" in result.stderr


def test_forty_at_once(tmp_path):
    """What one process holds in memory does not grow with the room: forty get 12 MB each."""
    kit = write_kit(tmp_path / "kit", {"base.tar.gz": 12_000_000})
    whole = content(kit)
    with shared(kit) as (server, url):
        process = psutil.Process(server.pid)
        participants(url)
        before, peak, done = process.memory_info().rss, 0, threading.Event()

        def watch():
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, process.memory_info().rss)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            with ThreadPoolExecutor(40) as pool:
                list(pool.map(lambda n: portable.fetch(url, tmp_path / f"{n}", lambda _: None), range(40)))
        finally:
            done.set()
            watching.join()
        rows = participants(url)
    assert [row["state"] for row in rows] == ["complete"] * 40
    assert all(content(tmp_path / f"{number}") == whole for number in range(40))
    print(f"server: {before / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at most")
    assert peak - before < 100e6, f"{before / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at most"


def test_forty_who_ask_and_do_not_read(tmp_path):
    """A laptop that sleeps holds no file in the server's memory, and nobody else waits for it."""
    kit = write_kit(tmp_path / "kit", {"base.tar.gz": 30_000_000})
    with shared(kit) as (server, url), contextlib.ExitStack() as stack:
        process = psutil.Process(server.pid)
        participants(url)
        before = process.memory_info().rss
        place = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        for _ in range(40):
            sleeping = stack.enter_context(socket.create_connection(place))
            sleeping.sendall(b"GET /base.tar.gz HTTP/1.1\r\nHost: x\r\n\r\n")
        code, body = ask(f"{url}/base.tar.gz")
        assert (code, len(body)) == (200, 30_000_000)
        grown = process.memory_info().rss - before
    print(f"server: {before / 1e6:.0f} MB before, {grown / 1e6:.0f} MB more")
    assert grown < 200e6, f"{grown / 1e6:.0f} MB for 40 who do not read; all of it would be 1200 MB"


class FaultyServer(BaseHTTPRequestHandler):
    """A server, or a network, with a fault: set as attributes of a subclass."""

    kit = None
    cut_after = None  # bytes, of each answer
    alter = ""  # the name of the file
    ranges = True
    asked = None

    def do_GET(self):
        name = urllib.request.unquote(self.path[1:])
        body = (self.kit / name).read_bytes()
        if name == self.alter:
            body = body[:-1] + bytes([body[-1] ^ 1])
        begin = 0
        said = self.headers.get("Range")
        self.asked.append((name, said))
        if said and self.ranges:
            begin = int(said.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.wfile.write(body[begin:][: self.cut_after])
        self.wfile.flush()
        if self.cut_after is not None and len(body) - begin > self.cut_after:
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def faulty(kit, monkeypatch):
    """A URL of the kit, with a fault."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    servers = []

    def begin(**faults):
        handler = type("Handler", (FaultyServer,), {"kit": kit, "asked": [], **faults})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", handler.asked

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("small", [40_000, 299_999])
def test_a_cut_is_gone_on_from(kit, tmp_path, faulty, small):
    url, asked = faulty(cut_after=small)
    portable.fetch(url, tmp_path / "got", lambda _: None)
    assert content(tmp_path / "got") == content(kit)
    begins = [said for name, said in asked if name == DEB]
    assert begins == [None, *(f"bytes={at}-" for at in range(small, 300_000, small))]


def test_the_same_line_goes_on_where_it_was_stopped(kit, tmp_path, faulty):
    """The first attempt ends for good; the second asks for the rest, and for no file that is there."""
    broken, _ = faulty(cut_after=0, ranges=True)
    with pytest.raises(Refused, match="could not be fetched"):
        portable.fetch(broken, tmp_path / "got", lambda _: None)
    cut, _ = faulty(cut_after=290_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "TRIES", 0)
        with pytest.raises(Refused, match=r"\.deb could not be fetched: the connection was cut"):
            portable.fetch(cut, tmp_path / "got", lambda _: None)
    whole, asked = faulty()
    portable.fetch(whole, tmp_path / "got", lambda _: None)
    assert content(tmp_path / "got") == content(kit)
    assert dict(asked)[DEB] == "bytes=290000-"


def test_a_server_that_knows_no_ranges(kit, tmp_path, faulty):
    cut, _ = faulty(cut_after=290_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "TRIES", 0)
        with pytest.raises(Refused):
            portable.fetch(cut, tmp_path / "got", lambda _: None)
    url, _ = faulty(ranges=False)
    portable.fetch(url, tmp_path / "got", lambda _: None)
    assert content(tmp_path / "got") == content(kit)


def test_an_altered_file_gets_no_name(kit, tmp_path, faulty):
    url, _ = faulty(alter=DEB)
    with pytest.raises(Refused, match=r"\.deb is altered: its checksum should begin with"):
        portable.fetch(url, tmp_path / "got", lambda _: None)
    assert not (tmp_path / "got" / DEB).exists()
    whole, _ = faulty()
    portable.fetch(whole, tmp_path / "got", lambda _: None)
    assert content(tmp_path / "got") == content(kit)


def test_half_of_another_file_is_not_gone_on_from(kit, tmp_path, faulty):
    """What lies there from before does not belong to it: fetched anew, once."""
    cut, _ = faulty(cut_after=290_000, alter=DEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "TRIES", 0)
        with pytest.raises(Refused):
            portable.fetch(cut, tmp_path / "got", lambda _: None)
    [half] = (tmp_path / "got" / ".partial").iterdir()
    half.write_bytes(b"x" * 1000)
    whole, asked = faulty()
    portable.fetch(whole, tmp_path / "got", lambda _: None)
    assert [said for name, said in asked if name == DEB] == ["bytes=1000-", None]
    assert content(tmp_path / "got") == content(kit)


def test_a_kit_for_another_machine_is_not_fetched(tmp_path, faulty):
    other = write_kit(tmp_path / "other", {"base.tar.gz": 1000}, arch="riscv64")
    url, asked = faulty(kit=other)
    with pytest.raises(Refused, match="riscv64"):
        portable.fetch(url, tmp_path / "got", lambda _: None)
    assert [name for name, _ in asked] == ["SHA256SUMS", "kit.json"]


@pytest.mark.parametrize("name", ["mine.txt", portable.SUMS])
def test_a_folder_with_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(portable.Refused, match="not a kit"):
        portable.fetch("http://127.0.0.1:9", tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
