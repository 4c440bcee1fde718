"""A kit's files, fetched with resume and checked: Python 3.11 and nothing else, in one file.

Participants run this before they have the lab: `dockerlab share` serves it, and `make` runs it as a script. So it
imports nothing else of the lab.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shlex
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Any

SUMS = "SHA256SUMS"
ABOUT = "kit.json"
FORMAT = 1

KIT = ""
"""The SHA-256 of a kit's `SHA256SUMS`. `dockerlab share` writes it here: then that kit is fetched, and no other."""

CHUNK = 1 << 18
"""Bytes that are read at a time: what a download holds in memory."""

SILENT_SECONDS = 30
"""How long the other side may send nothing before the connection counts as cut."""

TRIES = 8
"""How often in a row a connection may be cut without a single byte."""

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What machines call themselves, and what Debian and Docker call them."""


class Refused(Exception):
    """The kit, or a file of it, cannot be used: what was seen, and what to do."""

    def __init__(self, seen: str, do: str) -> None:
        super().__init__(seen, do)
        self.seen = seen
        self.do = do


# --- what a kit says of itself ----------------------------------------------------------------------------------------


def parse(text: str) -> dict[str, str]:
    """The files that a `SHA256SUMS` names, and the digest of each.

    Raises:
        Refused: a line is none of `sha256sum`, or a name leads out of the kit or comes twice.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, space, name = line.partition("  ")
        if len(digest) != 64 or set(digest) - set("0123456789abcdef") or not space:
            raise Refused(f"Line {number} of {SUMS} is not a checksum: {line[:60]!r}.", "Download the kit again.")
        if not is_safe(name) or name == SUMS or name in sums:
            raise Refused(f"Line {number} of {SUMS} names {name[:200]!r}, which no kit has.", "Download the kit again.")
        sums[name] = digest
    if ABOUT not in sums:
        raise Refused(f"{SUMS} does not name {ABOUT}.", "Download the kit again.")
    return sums


def is_safe(name: str) -> bool:
    """Whether a name is one of a file below the kit's own folder, on every system."""
    parts = name.split("/")
    return not (
        any(part in {"", ".", ".."} or part != part.strip() for part in parts)
        or any(character in '\\:*?"<>|' or ord(character) < 32 for character in name)
        or PurePosixPath(name).is_absolute()
    )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_digest(folder: Path) -> str:
    """The kit's name: the first twelve digits of the digest of its `SHA256SUMS`, which has the digests of all else."""
    return digest_of(folder / SUMS)[:12]


def read(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The checksums of a kit, and the content of its `kit.json`, which is checked first of all.

    Raises:
        Refused: this is no kit, or these two files are not whole.
    """
    try:
        sums = parse((folder / SUMS).read_text())
        if digest_of(folder / ABOUT) != sums[ABOUT]:
            raise Refused(f"{ABOUT} of the kit in {folder} is altered.", "Download the kit again.")
        about = json.loads((folder / ABOUT).read_text())
        known = about["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise Refused(
            f"{folder} is not a kit: {SUMS} or {ABOUT} cannot be read ({what}).", "Download the kit again."
        ) from None
    if known != FORMAT:
        raise Refused(
            f"The kit has the format {known}, and this lab reads {FORMAT}.", "Use the lab that lies in the kit."
        )
    return sums, about


def problems(folder: Path) -> list[str]:
    """What is wrong with a kit's files, each named: missing, truncated, altered, or one that no checksum covers.

    Raises:
        Refused: this is no kit at all.
    """
    sums, about = read(folder)

    def look(name: str) -> str:
        path, size = folder / name, about["files"].get(name)
        if not path.is_file():
            return f"{name} is missing"
        if size is not None and path.stat().st_size < size:
            return f"{name} is truncated: {path.stat().st_size} of {size} bytes"
        return f"{name} is altered" if digest_of(path) != sums[name] else ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [problem for problem in pool.map(look, sums) if problem]
    # Installers look into these folders for whatever fits best.
    for part in ("wheels", "debs"):
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in sums:
                found.append(f"{name} is not a file of the kit: no checksum covers it")
    return found


def unfit(about: dict[str, Any]) -> str:
    """Why a kit does not fit this machine and this Python, or ""."""
    machine = ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.platform == "linux" and about["arch"] != machine:
        return f"The kit is for {about['arch']}, and this machine is {machine}."
    if sys.platform != "linux":
        return f"The kit is for Linux, and this machine runs {platform.system()}."
    if python not in about["python"]:
        return f"The kit has packages for Python {' and '.join(about['python'])}, and this is Python {python}."
    return ""


def check(folder: Path) -> None:
    """Have a whole kit that fits this machine, or say what is wrong.

    Raises:
        Refused: a file is missing, truncated or altered, or the kit is for another machine or Python.
    """
    _, about = read(folder)
    if problem := unfit(about):
        raise Refused(problem, "Use a kit made for it (`make bundle` there), or another Python: `make lab PYTHON=…`.")
    if found := problems(folder):
        raise Refused(
            f"The kit in {folder} is not whole: {'; '.join(found)}.", "Download these files again, then try once more."
        )


# --- fetching it ------------------------------------------------------------------------------------------------------


class KitServer:
    """A server of a kit, and this participant's name there.

    Args:
        url: of the kit's folder.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.who = secrets.token_hex(8)
        # A proxy that a variable names leads out of the room, and the server is in it.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def open(self, name: str, start: int = 0, data: bytes | None = None) -> HTTPResponse:
        """Open a file of the kit from a byte on."""
        request = urllib.request.Request(f"{self.url}/{urllib.parse.quote(name)}", data)
        request.add_header("X-Participant", f"{self.who} {socket.gethostname()}")
        if start:
            request.add_header("Range", f"bytes={start}-")
        response: HTTPResponse = self.opener.open(request, timeout=SILENT_SECONDS)
        return response

    def report(self, state: str) -> None:
        """Let the server know how far we are. Nothing depends on it."""
        with contextlib.suppress(OSError, ValueError):
            self.open("status", data=json.dumps({"state": state}).encode()).close()


def fetch(url: str, folder: Path, say: Callable[[str], None] = print) -> None:
    """Fetch a kit into a folder, or what of it is not there yet; each file is checked before it gets its name.

    Args:
        url: what `dockerlab share` prints.
        folder: where the kit is to be; an earlier attempt in it is continued.
        say: is called with each line of progress.

    Raises:
        Refused: the server does not answer, sends another file than the checksum says, or the kit does not fit; or
            the folder holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / ".partial").is_dir() and not (folder / ABOUT).is_file():
        raise Refused(
            f"{folder} holds something that is not a kit.", "Go to another folder, and run the same line there."
        )
    server = KitServer(url)
    _get(server, folder, SUMS, KIT, None)
    sums = parse((folder / SUMS).read_text())
    _get(server, folder, ABOUT, sums[ABOUT], None)
    sums, about = read(folder)
    if problem := unfit(about):
        server.report("does not fit")
        raise Refused(problem, "Ask for a kit made for it, or use another Python: `python3.X` in place of `python3`.")
    total, done, shown = sum(about["files"].values()), 0, 0.0
    say(f"The kit {short_digest(folder)}: {len(sums)} files, {total / 1e6:.0f} MB, into {folder}.")
    for name, digest in sums.items():
        if name == ABOUT:
            continue
        try:
            _get(server, folder, name, digest, about["files"][name])
        except Refused:
            server.report(f"refused {name}")
            raise
        done += about["files"][name]
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            say(f"{done / total:4.0%}  {name}")
    if found := problems(folder):
        raise Refused(f"The kit in {folder} is not whole: {'; '.join(found)}.", "Run the same line once more.")
    server.report("complete")


def _get(server: KitServer, folder: Path, name: str, digest: str, size: int | None) -> None:
    """One file: what is there already is kept, and it gets its name when its checksum is right, or "" is expected."""
    path = folder / name
    if digest and path.is_file() and digest_of(path) == digest:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = folder / ".partial" / hashlib.sha256(f"{digest} {name}".encode()).hexdigest()
    partial.parent.mkdir(exist_ok=True)
    if not digest:
        partial.unlink(missing_ok=True)  # without a digest nobody knows whether two halves belong together
    for _ in range(2):  # a file that was begun may have been another one
        begun = partial.exists()
        _download(server, name, partial, size)
        found = digest_of(partial)
        if not digest or found == digest:
            partial.replace(path)
            return
        partial.unlink()
        if not begun:
            break
    raise Refused(
        f"{name} is altered: its checksum should begin with {digest[:12]}, and what came has {found[:12]}.",
        "Tell the person who shares the kit: their copy is damaged, or something on the way changes files.",
    )


def _download(server: KitServer, name: str, partial: Path, size: int | None) -> None:
    """Fetch until nothing is missing, from where it was cut."""
    cut = 0
    while True:
        have = partial.stat().st_size if partial.exists() else 0
        if size is not None and have > size:
            partial.unlink()
            have = 0
        if size is not None and have == size and (size or partial.exists()):
            return
        try:
            with server.open(name, have) as answer:
                expected = answer.headers.get("Content-Length")
                # A server that does not know of ranges sends all of it again.
                with partial.open("ab" if answer.status == 206 else "wb") as file:
                    came = 0
                    while chunk := answer.read(CHUNK):
                        file.write(chunk)
                        came += len(chunk)
            if size is None and (expected is None or came == int(expected)):
                return
            if size is not None and partial.stat().st_size >= size:
                return
            problem = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416:
                partial.unlink(missing_ok=True)
            problem = f"the server answers {error.code}"
            if error.code == 404:
                raise Refused(
                    f"{name} could not be fetched: {problem}.", "Ask the person who shares the kit."
                ) from None
        except (OSError, ValueError) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
        now = partial.stat().st_size if partial.exists() else 0
        cut = cut + 1 if now <= have else 0
        if cut >= TRIES:
            raise Refused(
                f"{name} could not be fetched: {problem}.",
                "See that you are on the room's network, and run the same line once more: it goes on where it stopped.",
            )
        time.sleep(min(0.2 * 2**cut, 5))


def main(arguments: list[str]) -> int:
    """`check FOLDER`, or `get URL [FOLDER]`. Return the exit code: 2 where the kit is refused."""
    try:
        if arguments[:1] == ["check"] and len(arguments) == 2:
            check(Path(arguments[1]))
        elif arguments[:1] == ["get"] and len(arguments) in {2, 3}:
            folder = Path(arguments[2] if len(arguments) == 3 else "kit")
            fetch(arguments[1], folder)
            unseen = "" if KIT else " Compare its name with the one on the instructor's screen."
            print(f"All of the kit {short_digest(folder)} is here and whole.{unseen} Now:")
            named = shlex.quote("DOCKERLAB_KIT=" + str(folder.resolve()).replace("$", "$$"))  # a dollar means itself
            print(f"    tar -xzf {shlex.quote(f'{folder}/lab.tar.gz')} && cd dockerlab && make lab {named}")
        else:
            print("portable.py check FOLDER | get URL [FOLDER]", file=sys.stderr)
            return 1
    except Refused as refused:
        print(refused.seen, refused.do, sep="\n", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same line goes on where it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
