"""The server of a kit: over plain HTTP, in one process, with resume, and with a record of who has how much.

Only the files that `SHA256SUMS` names are served, and the program that fetches them.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import uvicorn
from dockerlab.engine import portable
from dockerlab.errors import LabError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

PARTICIPANTS = 500
"""How many are remembered. Of more, those whose last request is oldest are forgotten."""

CONNECTIONS = 256
"""How many are open at the same time. One more takes the place of one whose other side is silent (`Connection`)."""

SILENT_SECONDS = 5
"""How long a participant may take nothing of an answer and keep its place in a full room; or to send a short body."""


@dataclass
class Participant:
    """Who fetches the kit, and how far they are.

    Attributes:
        name: of their machine, as they say; "" for a program that is not ours.
        address: of their machine.
        got: for each file, up to which byte it was sent.
        state: what they last said: ``fetching``, ``complete``, ``refused NAME``, ``does not fit``.
        seen: the time of their last request, in seconds since the epoch.
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
        """Who sends a request: known by the name that our client sends, else by the address."""
        header = dict(scope["headers"]).get(b"x-participant", b"").decode("latin-1")
        who, _, name = header.partition(" ")
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
        room: where they are counted.
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


class Connection(H11Protocol):
    """One connection. Where there is no room for it, it takes the place of one whose other side is silent.

    So clients that send no request, or read nothing of the answer, cannot shut the room out, however often they come. A
    participant whose connection is closed loses nothing: the program continues where it was.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        super().connection_made(transport)
        self.is_full, self.since = False, time.monotonic()
        others = [
            one for one in self.connections if isinstance(one, Connection) and one is not self and one.is_silent()
        ]
        if len(self.connections) >= CONNECTIONS and others:
            silent = min(others, key=lambda one: (one.is_full, one.since))
            self.connections.discard(silent)
            silent.transport.abort()

    def is_silent(self) -> bool:
        """Whether no request is being answered, or nothing of the answer has been taken for a while."""
        if self.cycle is None or self.cycle.response_complete:
            return True
        return self.is_full and time.monotonic() - self.since >= SILENT_SECONDS

    def pause_writing(self) -> None:
        self.is_full, self.since = True, time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.is_full, self.since = False, time.monotonic()
        super().resume_writing()

    def on_response_complete(self) -> None:
        self.since = time.monotonic()
        super().on_response_complete()


def client(folder: Path) -> bytes:
    """The program that participants run: it takes this kit and no other, for it has the digest of its checksums."""
    text = Path(portable.__file__).read_text(encoding="utf-8")
    text = text.replace('\nKIT = ""\n', f'\nKIT = "{portable.digest_of(folder / portable.SUMS)}"\n')
    return text.replace("sys.exit(main(sys.argv[1:]))", 'sys.exit(main(["get", *sys.argv[1:]]))').encode()


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
    program = client(folder)

    async def begin(_: Request) -> Response:
        return PlainTextResponse("Type the line that your instructor shows: it checks what comes from here.\n")

    async def get(_: Request) -> Response:
        return PlainTextResponse(program)

    async def status(request: Request) -> Response:
        if request.method == "POST":
            state = (await _short(request)).get("state")
            if isinstance(state, str):
                room.participant(request.scope).state = re.sub(r"[^\x20-\x7e]", "", state)[:80]
            return Response(status_code=204)
        return JSONResponse({"kit": portable.short_digest(folder), "participants": room.rows()})

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
    with anyio.move_on_after(SILENT_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > 1000:
                return {}
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
    )
