"""What an application that will not start needs: which variable, or which database, its log names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_KNOWN_PORTS = {
    "5432": "PostgreSQL",
    "3306": "MySQL",
    "6379": "Redis",
    "27017": "MongoDB",
    "5672": "RabbitMQ",
    "9092": "Kafka",
    "9200": "Elasticsearch",
    "11211": "Memcached",
    "1433": "SQL Server",
}

_NAME = r"[A-Z][A-Z0-9_]{2,}"
_VARIABLE = [
    re.compile(rf"KeyError: ['\"]({_NAME})['\"]"),
    re.compile(rf"[Ee]nvironment variables? [\"'`]?({_NAME})\b"),
    re.compile(rf"\b({_NAME})[\"'`]? (?:not found\. Declare it as envvar|environment variable)"),
    re.compile(rf"\b({_NAME}): (?:parameter not set|unbound variable|parameter null or not set)"),
    re.compile(rf"\b({_NAME})\b[\"'`]?(?: \w+){{0,3}} (?:not set|not defined|required|missing|mandatory|be set)\b"),
    re.compile(rf"(?:[Mm]issing|[Ss]et|[Rr]equired?|[Nn]eeds?)(?: \w+){{0,4}}:? [\"'`]?({_NAME})\b"),
]
_SETTING = re.compile(r"^(\w+(?:\.\w+)*)\n\s+(?:Field required|field required)", re.MULTILINE)
_NO_VARIABLES = {"ERROR", "INFO", "WARNING", "CRITICAL", "DEBUG", "HTTP", "HTTPS", "POST", "GET", "SIGTERM", "UTC"}

# The name is never given up in part (`*+`): a hostile line would take minutes otherwise.
_HOST = r"['\"]?([A-Za-z0-9][\w.-]*+)['\"]?"
_SERVER = [
    re.compile(rf"Connect call failed \({_HOST}, (\d+)"),
    re.compile(rf"Error -?\d+ connecting to {_HOST}:(\d+)"),
    re.compile(rf"[Cc]an't connect to \w+ server on {_HOST}(?:[: (]+(\d+))?"),
    re.compile(rf"could not translate host name {_HOST}()"),
    re.compile(rf"failed to resolve host {_HOST}()"),
    re.compile(rf"connection to server at {_HOST}(?: \([^)]*\))?, port (\d+) failed"),
    re.compile(rf"connection failed: .*?{_HOST}.*?port (\d+)"),
    re.compile(rf"host={_HOST}.{{0,80}}?port=(\d+)"),
    re.compile(rf"{_HOST}:(\d+): \[Errno"),
]
_UNKNOWN_SERVER = re.compile(
    r"Name or service not known|Temporary failure in name resolution|No address associated with hostname|Name does not "
    r"resolve|nodename nor servname|Connection refused|ConnectionRefusedError|OperationalError|ServerSelectionTimeout"
)

_URL = re.compile(r"\b(?!https?\b)([a-z][a-z0-9+]+)://(?:[^\s/@]*@)?([A-Za-z][\w.-]*)(?::(\d+))?")


def needed_variables(log: str) -> list[str]:
    """The environment variables that a log says are missing; empty where it names none."""
    found = [name for line in log.splitlines() for pattern in _VARIABLE for name in pattern.findall(line)]
    names = [name for name in found if name not in _NO_VARIABLES]
    if "validation error" in log:  # pydantic-settings: a field's name, then "Field required"
        names += map(str.upper, _SETTING.findall(log))
    return list(dict.fromkeys(names))


def needed_server(log: str) -> str:
    """The database, or other server, that a log says it could not reach; empty where it names none."""
    for pattern in _SERVER:
        if found := pattern.search(log):
            host, port = found[1], found[2]
            kind = _KNOWN_PORTS.get(port or "", "")
            return f"{kind + ' at ' if kind else ''}{host}{':' + port if port else ''}"
    if found := _UNKNOWN_SERVER.search(log):
        if url := _URL.search(log):
            return f"{_KNOWN_PORTS.get(url[3] or '', url[1])} at {url[2]}{':' + url[3] if url[3] else ''}"
        return f"a server that it could not reach ({found[0]})"
    return ""


def unset_variables(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The variables that a shell command uses, and that have no value in the container.

    Args:
        command: what the container runs, entrypoint included.
        environment: the container's variables.
    """
    if len(command) < 3 or not command[1].startswith("-") or "c" not in command[1]:
        return []  # no shell, no variables
    used = re.findall(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", " ".join(command[2:]))
    return [name for name in dict.fromkeys(a or b for a, b in used) if not environment.get(name)]


def advice(log: str) -> str:
    """What an application needs that ended before it answered, by its log; empty where the log does not say."""
    if "no new privileges" in log:  # sudo's words
        return (
            "It is started with no-new-privileges, as orchestrators do, and sudo cannot work so. Start as the server's "
            "own user (USER), or as root, and let the entrypoint change the user (gosu, su-exec, setpriv)."
        )
    if names := needed_variables(log):
        return "It needs " + ", ".join(names) + ": " + " ".join(f"--env {name}=…" for name in names)
    if server := needed_server(log):
        return (
            f"It needs {server}, which no experiment starts. Let it start without (a lifespan that waits or a setting "
            "for tests), or name one that containers reach: --env NAME=URL."
        )
    return ""
