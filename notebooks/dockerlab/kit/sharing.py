"""The kit for a room: served over plain HTTP from one process, with resume, and a table of who has it.

Only the files that `SHA256SUMS` names are served. Plain HTTP keeps nobody on the network from changing what passes: the
client holds each file against its checksum, and the seal on the instructor's screen against the checksums.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvicorn
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import LabError, PortTaken
from . import portable

PARTICIPANTS = 500
"""How many are remembered; of more, those who asked least lately are forgotten."""

CONNECTIONS = 256
"""How many are served at the same time; who comes later is told to come again, and does."""

_VIRTUAL = re.compile(r"^(lo|docker|br-|veth|virbr|cni|flannel|utun|vmnet)")


@dataclass
class Participant:
    """Who fetches the kit, and how far they are.

    Attributes:
        name: of their machine, as they say; "" for a program that is not ours.
        address: that they ask from.
        got: for each file, up to which byte it was sent.
        state: what they last said: ``fetching``, ``complete``, ``refused NAME``, ``does not fit``.
        seen: when they last asked, in seconds since the epoch.
    """

    name: str
    address: str
    got: dict[str, int] = field(default_factory=dict)
    state: str = "fetching"
    seen: float = 0.0


class Room:
    """Who has how much of the kit.

    Args:
        sizes: of the kit's files, in bytes.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self._all: OrderedDict[str, Participant] = OrderedDict()
        self._lock = threading.Lock()

    def participant(self, scope: Scope) -> Participant:
        """Whoever asks: told by what our client says of itself, else by the address."""
        said = dict(scope["headers"]).get(b"x-participant", b"").decode("latin-1")
        who, _, name = said.partition(" ")
        address = scope["client"][0] if scope.get("client") else "?"
        key = who if re.fullmatch(r"[0-9a-f]{16}", who) else address
        with self._lock:
            found = self._all.setdefault(key, Participant("", address))
            found.name = re.sub(r"[^A-Za-z0-9._-]", "", name)[:40] or found.name
            found.seen = time.time()
            self._all.move_to_end(key)
            while len(self._all) > PARTICIPANTS:
                self._all.popitem(last=False)
        return found

    def rows(self) -> list[dict[str, object]]:
        """One for each participant: ``name``, ``address``, ``percent``, ``state``, in the order of their addresses."""
        whole = sum(self.sizes.values()) or 1
        with self._lock:
            everyone = list(self._all.values())
        rows = []
        for one in everyone:
            got = 100 * sum(one.got.copy().values()) / whole
            percent = 100 if one.state == "complete" else min(99, int(got))
            rows.append({"name": one.name, "address": one.address, "percent": percent, "state": one.state})
        return sorted(rows, key=lambda row: (str(row["address"]), str(row["name"])))


class Counting:
    """Counts what is sent of which file to whom, around an application.

    Args:
        app: the application.
        room: is told.
    """

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self.app = app
        self.room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope.get("path", "/")[1:]
        if scope["type"] != "http" or name not in self.room.sizes:
            await self.app(scope, receive, send)
            return
        participant = self.room.participant(scope)
        place = 0

        async def counted(message: Message) -> None:
            nonlocal place
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                if begin := re.match(rb"bytes (\d+)-", headers.get(b"content-range", b"")):
                    place = int(begin[1])
            await send(message)
            # Only now: it waits while the other side does not take any more.
            if message["type"] == "http.response.body":
                place += len(message.get("body", b""))
                participant.got[name] = max(participant.got.get(name, 0), min(place, self.room.sizes[name]))

        await self.app(scope, receive, counted)


def application(folder: Path) -> tuple[ASGIApp, Room]:
    """What serves a kit, and who has it.

    Raises:
        LabError: the folder is no kit.
    """
    try:
        sums, about = portable.read(folder)
    except portable.Refused as refused:
        raise LabError(refused.seen, refused.do) from None
    room = Room(about["files"])
    served = {*sums, portable.SUMS}
    client = Path(portable.__file__).read_text()

    async def begin(request: Request) -> Response:
        return PlainTextResponse(
            f"The kit {portable.seal(folder)}. In a shell, where it is to lie in the folder kit:\n\n"
            + "".join(f"    {line}\n" for line in lines(_address(request)))
        )

    async def get(request: Request) -> Response:
        ending = "sys.exit(main(sys.argv[1:]))"
        text = client.replace(ending, f'sys.exit(main(["get", {_address(request)!r}, *sys.argv[1:]]))')
        return PlainTextResponse(text)

    async def status(request: Request) -> Response:
        if request.method == "POST":
            said = (await _short(request)).get("state")
            if isinstance(said, str):
                room.participant(request.scope).state = re.sub(r"[^\x20-\x7e]", "", said)[:80]
            return Response(status_code=204)
        return JSONResponse({"kit": portable.seal(folder), "participants": room.rows()})

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in served:
            return PlainTextResponse("The kit has no such file.\n", 404)
        return FileResponse(folder / name, media_type="application/octet-stream")

    routes = [
        Route("/", begin),
        Route("/get", get),
        Route("/status", status, methods=["GET", "POST"]),
        Route("/{name:path}", file),
    ]
    return Counting(Starlette(routes=routes), room), room


async def _short(request: Request) -> dict[str, object]:
    """The JSON object of a short request, or an empty one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 1000:
            return {}
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _address(request: Request) -> str:
    """Where this participant reached us; what no address looks like is not repeated."""
    host = request.headers.get("host", "")
    if re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", host):
        return f"http://{host}"
    server, port = request.scope["server"]
    return f"http://{server}:{port}"


def lines(url: str) -> list[str]:
    """What participants type: with curl, and without. Either needs Python 3.11 or newer, and nothing else."""
    python = f"python3 -c \"import urllib.request as u; exec(u.urlopen('{url}/get').read())\""
    return [f"curl -s {url}/get | python3 -", python]


def addresses() -> list[str]:
    """This machine's addresses in the room's network, the likeliest first."""
    found = [
        address.address
        for name, entries in psutil.net_if_addrs().items()
        if not _VIRTUAL.match(name)
        for address in entries
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737's; nothing is sent: the system only says which way it would go
            likeliest = probe.getsockname()[0]
        except OSError:
            likeliest = ""
    return sorted(dict.fromkeys(found), key=lambda address: address != likeliest) or ["127.0.0.1"]


def share(folder: Path, host: str = "0.0.0.0", port: int = 8800) -> None:
    """Serve a kit until Ctrl-C, and show who has it.

    Args:
        folder: the kit; each file is checked first.
        host: the address to listen on; all of this machine's, unless it is told.
        port: to listen on; 0 for one that is free.

    Raises:
        LabError: the kit is not whole.
        PortTaken: something else listens there.
    """
    app, room = application(folder)
    if found := portable.problems(folder):
        raise LabError(f"The kit in {folder} is not whole: {'; '.join(found)}.", "Make it anew: `make bundle`.")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(CONNECTIONS)  # from now on nobody is refused, also before the server runs
    except OSError as error:
        listening.close()
        seen = f"Port {port} of {host} cannot be had ({error.strerror or error})."
        raise PortTaken(seen, "Name another: `dockerlab share --port 8801`.") from None
    port = listening.getsockname()[1]
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"The kit [bold]{portable.seal(folder)}[/] is shared. Participants type one of these lines:\n")
    for address in addresses() if host == "0.0.0.0" else [host]:
        for line in lines(f"http://{address}:{port}"):
            console.print(f"    {escape(line)}")
    console.print("\nOver plain HTTP, to whoever reaches this machine. Ctrl-C ends it.\n")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    with listening:
        if not console.is_terminal:
            server.run(sockets=[listening])
            return
        with Live(console=console, get_renderable=lambda: _table(room), refresh_per_second=2):
            server.run(sockets=[listening])


def _table(room: Room) -> Table:
    table = Table("machine", "address", "has", "state")
    rows = room.rows()
    for row in rows[:60]:
        table.add_row(
            *(escape(str(row[name])) for name in ("name", "address")), f"{row['percent']} %", escape(str(row["state"]))
        )
    complete = sum(row["state"] == "complete" for row in rows)
    table.caption = f"{complete} of {len(rows)} have all of it"
    return table
