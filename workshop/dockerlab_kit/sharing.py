"""A kit for a room: the line that participants type, and a table of who has the kit.

Plain HTTP keeps nobody on the network from changing what passes. So the line has the digest of the client, and checks
it before any of it is run; the client has the digest of `SHA256SUMS`, and that file has the digests of all others.
"""

from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path

import psutil
from dockerlab.engine import portable
from dockerlab.errors import LabError, PortTaken
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from .kit_server import CONNECTIONS, Room, application, client, server

_VIRTUAL = re.compile(r"^(lo|docker|br-|veth|virbr|cni|flannel|utun|vmnet)")


def line(folder: Path, url: str) -> str:
    """What participants type in a shell: it needs Python 3.11 or newer, and nothing else.

    The program comes by plain HTTP, so the line holds its SHA-256, and runs it only if that is right.
    """
    digest = hashlib.sha256(client(folder)).hexdigest()
    check = f"h.sha256(s).hexdigest()=='{digest}' or sys.exit('This is not what was shared: nothing was run.')"
    return (
        "python3 -c \"import hashlib as h,sys,urllib.request as u;s=u.urlopen(sys.argv[1]+'/get').read();"
        f'{check};exec(s)" {url}'
    )


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
        host: the address to listen on; all of this machine's by default.
        port: to listen on; 0 for one that is free.

    Raises:
        LabError: the kit is not whole.
        PortTaken: something else listens there.
    """
    app, room = application(folder)
    if found := portable.problems(folder):
        raise LabError(f"The kit in {folder} is not whole: {'; '.join(found)}.", "Make it again: `make bundle`.")
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
    found = addresses() if host == "0.0.0.0" else [host]
    which = "this line" if len(found) == 1 else "the line with the address that they reach"
    console.print(f"The kit [bold]{portable.short_digest(folder)}[/] is shared. Participants type {which}:\n")
    for address in found:
        console.print(f"    {escape(line(folder, f'http://{address}:{port}'))}")
    console.print(
        "\nThey need Python 3.11 or newer. Hand out the line in a way that you trust: it checks everything that comes. "
        "The kit goes over plain HTTP, to anyone who reaches this machine. Ctrl-C ends it.\n"
    )
    serving = server(app)
    with listening:
        if not console.is_terminal:
            serving.run(sockets=[listening])
            return
        with Live(console=console, get_renderable=lambda: _table(room), refresh_per_second=2):
            serving.run(sockets=[listening])


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
