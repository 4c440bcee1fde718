"""Tables of records, as text and as HTML.

Whatever the seconds are, the text of a table has the same columns at the same places, so that a table which is compared
with an earlier one differs only where its facts do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ..errors import LabError
from ..records import Stop

SECONDS_WIDTH = len("999.99 s")


class Table:
    """A table, shown by a notebook as HTML, and in a terminal as text.

    Attributes:
        headers: the titles of the columns.
        rows: the cells of each row, as they are shown.
    """

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> None:
        self.headers = tuple(headers)
        self.rows = tuple(tuple(row) for row in rows)
        self._align = tuple(align)

    def __repr__(self) -> str:
        return self._render("simple").rstrip()

    def _repr_html_(self) -> str:
        return self._render("html")

    def _render(self, form: str) -> str:
        from tabulate import tabulate  # slow to load, and only needed where a table is shown

        return tabulate(
            self.rows,
            self.headers,
            tablefmt=form,
            colalign=self._align if self.rows else None,
            disable_numparse=True,  # a cell is shown as it is: `1e3` is not a number here
        )


def table(rows: Iterable[object], columns: Sequence[str] | Mapping[str, str] | None = None) -> Table:
    """A table with a row for each mapping or record.

    A column whose name is `seconds`, or ends so, holds seconds; one whose name ends with `bytes` holds bytes. Numbers
    stand to the right. True and False are written yes and no, None is written -.

    Args:
        rows: mappings, or records (dataclasses), whose fields and properties can be columns.
        columns: which columns, in which order; as a mapping, each with its title. Without it: all keys of the first
            row, or all its fields.

    Raises:
        LabError: a row lacks a column, or is neither a mapping nor a record.
    """
    rows = list(rows)
    if isinstance(columns, str):
        columns = [columns]
    names = list(columns) if columns is not None else _names(rows[0]) if rows else []
    titles = [columns[name] if isinstance(columns, Mapping) else name for name in names]
    values = [[_value(row, name) for name in names] for row in rows]
    cells = [[_cell(name, value) for name, value in zip(names, row, strict=True)] for row in values]
    align = ["right" if any(_is_number(row[column]) for row in values) else "left" for column in range(len(names))]
    # A title narrower than the seconds would let the column's width depend on them.
    titles = [
        title.rjust(SECONDS_WIDTH) if _holds_seconds(name) else title for name, title in zip(names, titles, strict=True)
    ]
    return Table(titles, cells, align)


def stops_table(stops: Sequence[Stop]) -> Table:
    """What happened to each container that was stopped: its main process, its end, the requests in flight, if any."""
    rows = [
        {
            "how PID 1 is started": stop.name,
            "PID 1": short_command(stop.pid1),
            "seconds": stop.seconds,
            "exit code": stop.exit_code,
            "lifespan shutdown ran": stop.shutdown_ran,
            "in flight": ", ".join(f"{request.path} {request.outcome}" for request in stop.requests) or None,
        }
        for stop in stops
    ]
    columns = list(rows[0]) if rows else []
    if not any(stop.requests for stop in stops):
        columns = columns[:-1]
    return table(rows, columns)


def short_command(command_line: str) -> str:
    """A command line without what differs between images: where its programs are, and which Python runs a script.

    ``/usr/bin/python3 /usr/local/bin/fastapi run app/main.py`` becomes ``fastapi run app/main.py``.
    """
    words = command_line.split(" ")
    program = PurePosixPath(words[0]).name
    if len(words) > 1 and program.startswith("python") and PurePosixPath(words[1]).parent.name == "bin":
        return " ".join([PurePosixPath(words[1]).name, *words[2:]])
    return " ".join([program, *words[1:]])


def _names(row: object) -> list[str]:
    if isinstance(row, Mapping):
        return list(row)
    if not dataclasses.is_dataclass(row):
        raise LabError(f"{row!r} is not a row of a table.", "Give a list of mappings, or of records.")
    return [field.name for field in dataclasses.fields(row)]


def _value(row: object, name: str) -> object:
    try:
        return row[name] if isinstance(row, Mapping) else getattr(row, name)
    except (KeyError, AttributeError) as error:
        raise LabError(f"A row has no column {name!r}.", f"It has {', '.join(map(str, _names(row)))}.") from error


def _holds_seconds(name: str) -> bool:
    return name.endswith("seconds")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(name: str, value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float() if _holds_seconds(name):
            return f"{value:.2f} s"
        case int() if name.endswith("bytes"):
            return _size(value)
        case float():
            return f"{value:.2f}"
        case _:
            return str(value)


def _size(size_bytes: int) -> str:
    """Decimal units, as `docker images` writes them."""
    for unit, factor in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]:
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"
