"""The project that a service of a Compose file builds and starts, read without anything of the auditor's own."""

from __future__ import annotations

import io
import os
import re
import shlex
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from dotenv.parser import parse_stream

from ..errors import LabError
from .project import DEFAULT_GRACE_SECONDS, LONGEST_GRACE_SECONDS, Project, dockerfile_of

LARGEST_FILE_BYTES = 200_000
MOST_VALUES = 20_000
"""A Compose file, or a file of variables, that is larger, or has more values, is refused: a few lines can hold many."""

MOST_EXTENDED = 10
"""How many services may extend one another."""

_NOTES = {
    "volumes": "its volumes are not mounted",
    "depends_on": "the services that it depends on are not started",
}
_TAKEN = frozenset(
    {"build", "environment", "env_file", "command", "entrypoint", "init", "user", "stop_signal", "stop_grace_period"}
    | {"healthcheck", "ports", "expose", "extends"}
)
_OF_NO_ACCOUNT = frozenset(
    {"image", "container_name", "labels", "annotations", "restart", "profiles", "logging", "pull_policy", "platform"}
    | _NOTES.keys()
)
_TAKEN_OF_BUILD = frozenset({"context", "dockerfile", "args", "target"})
_REFERENCE = re.compile(r"\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?+])|\}))")


def from_compose(
    project_path: str | Path,
    file: str | Path,
    service: str | None,
    *,
    given: Mapping[str, str] | None = None,
    build_args: Mapping[str, str] | None = None,
    dockerfile: str | Path | None = None,
) -> Project:
    """The project that a service of a Compose file builds and starts.

    The file is read here, not by Compose, which would take variables from the environment and files from everywhere.
    Nothing is taken from the environment, and nothing outside the project and the folder of the Compose file; the
    project's `left_out` tells what that is.

    Args:
        project_path: the folder that was named; the Compose file's path may begin there.
        file: the Compose file.
        service: its name; may be None where one service has a `build`.
        given: variables that were named, for the Compose file and the container.
        build_args: build arguments that were named.
        dockerfile: the Dockerfile that was named, instead of the service's.

    Raises:
        LabError: there is no such file or service, it builds no image, or is built from outside the project.
    """
    candidates = [Path(os.path.abspath(path)) for path in (Path(project_path) / file, Path(file))]  # noqa: PTH100
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise LabError(
            f"There is no Compose file {file}, neither from here nor from {project_path}.", "Look at its path."
        )
    try:
        compose = _Compose(str(file), found, Path(project_path), given or {})
        services = compose.services(found)
        building = [name for name, each in services.items() if isinstance(each, dict) and each.get("build")]
        if service is None and len(building) == 1:
            service = building[0]
        if service is None:
            names = ", ".join(map(str, building[:10])) or "none"
            raise LabError(
                f"{file} has {len(building)} services that build an image ({names}).",
                "Name the one to audit: --service NAME.",
            )
        if service not in services:
            names = ", ".join(map(str, list(services)[:10]))
            raise LabError(f"{file} has no service {service!r}; it has {names}.", "Look at its name.")
        return compose.project(str(project_path), service, build_args or {}, dockerfile)
    except (TypeError, ValueError, AttributeError, LookupError, OSError, RuntimeError) as error:
        raise LabError(
            f"{file} holds something that no Compose file does ({error}).", "See what `docker compose config` says."
        ) from error


class _Yaml(yaml.SafeLoader):
    """YAML as Compose reads it, where `yes`, `22:22` and `007` are text; numbers stay text, too."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names. In a few lines, that can come to more than any memory holds."""
        count = 0
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(each, yaml.MappingNode):
                        self.flatten_mapping(each)
                        count += len(each.value)
        if count > MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {MOST_VALUES} values")
        super().flatten_mapping(node)


_Yaml.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in [
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("merge", r"^<<$", ["<"]),
]:
    _Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class _Compose:
    """Reads the Compose files of a project; `shown` is how the first of them was named, and `file` its path."""

    def __init__(self, shown: str, file: Path, folder: Path, given: Mapping[str, str]) -> None:
        self.shown = shown
        self.file = file
        self.roots = [folder.resolve()]
        if not file.is_relative_to(os.path.abspath(folder)):  # noqa: PTH100 - links of the project lead nowhere else
            self.roots.append(file.parent.resolve())
        self.left_out: dict[str, None] = {}
        self.not_taken: dict[str, None] = {}
        self.count = 0
        self.given = dict(given)
        self.variables: Mapping[str, str] = self.given
        if os.path.lexists(file.parent / ".env"):
            self.variables = {**self._variables_in(file.parent / ".env", ".env", required=False), **given}

    # --- files ---

    def _within(self, path: Path) -> Path | None:
        """Where a path leads; None where that is not in the project."""
        try:
            path = path.resolve()
        except (OSError, RuntimeError):  # a link that leads to itself
            return None
        return path if any(path.is_relative_to(root) for root in self.roots) else None

    def _needed(self, path: Path, what: str, do: str = "") -> Path:
        """Where a path leads, without which there is nothing to audit.

        Raises:
            LabError: it leads out of the project.
        """
        if found := self._within(path):
            return found
        folder = os.path.commonpath([self.roots[0], path.resolve()])
        compose = os.path.relpath(self.file, folder)
        do = do or f"To take it, name a folder that holds both: dockerlab audit {folder} --compose {compose}"
        raise LabError(f"In {self.shown}, {what} lies outside of the project.", do)

    def _text(self, path: Path) -> str:
        if not path.is_file():  # reading a pipe may never end
            raise LabError(f"{path.name}, which {self.shown} names, is not a file.", "Look at its path.")
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise LabError(f"{path.name} is larger than {LARGEST_FILE_BYTES / 1e3:g} kB.", "It is not read.")
            return path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise LabError(f"{path.name} cannot be read ({reason}).", "It has to be a text file.") from error

    def services(self, file: Path) -> dict[str, Any]:
        text = self._text(self._needed(file, f"what {file.name} leads to"))
        try:
            content = yaml.load(text, _Yaml)
        except (yaml.YAMLError, RecursionError) as error:
            raise LabError(f"{file.name} cannot be read: {error}.", "It has to be a Compose file.") from error
        services = content.get("services") if isinstance(content, dict) else None
        if not isinstance(services, dict):
            raise LabError(f"{file.name} has no services.", "It has to be a Compose file.")
        return services

    # --- variables ---

    def value_of(self, name: str) -> str | None:
        if name not in self.variables:
            self.not_taken[name] = None
        return self.variables.get(name)

    def filled(self, value: Any) -> Any:
        """A value with its variables filled in."""
        self.count += 1
        if self.count > MOST_VALUES:
            raise LabError(f"{self.shown} has more than {MOST_VALUES} values.", "It is not read.")
        if isinstance(value, dict):
            return {str(key): self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return self.expanded(value) if isinstance(value, str) else value

    def expanded(self, text: str) -> str:
        """A text with its variables filled in, as Compose writes them: ``${NAME:-default}``."""
        if "$" not in text:
            return text
        if len(text) > 10_000:
            raise LabError(f"{self.shown} has variables in a text of {len(text)} characters.", "It is not read.")
        parts, place = [], 0
        while found := _REFERENCE.search(text, place):
            parts.append(text[place : found.start()])
            place = found.end()
            dollar, bare, braced, operator = found.groups()
            word = ""
            if operator:
                end = _closing(text, place)
                word, place = text[place:end], end + 1
            parts.append("$" if dollar else self._value(bare or braced, operator or "", word))
        result = "".join([*parts, text[place:]])
        if len(result) > LARGEST_FILE_BYTES:  # each of some lines may hold the one above twice
            raise LabError(f"{self.shown} has variables that make a text too long.", "It is not read.")
        return result

    def _value(self, name: str, operator: str, word: str) -> str:
        value = self.value_of(name)
        is_set = bool(value) if operator.startswith(":") else value is not None
        match operator[-1:]:
            case "-" if not is_set:
                return self.expanded(word)
            case "+":
                return self.expanded(word) if is_set else ""
            case "?" if not is_set:
                raise LabError(f"{self.shown} needs the variable {name}. {word}".rstrip(), f"Name it: --env {name}=…")
        return value or ""

    def _variables_in(self, path: Path, written: str, *, required: bool) -> dict[str, str]:
        """The variables of an `env_file`, or of the project's own `.env`."""
        if not (found := self._within(path)):
            self._leave_out(f"{written}, which is outside of the project and was not read; --env-file takes a file")
            return {}
        if not found.is_file():
            if required:
                self._leave_out(f"{written}, which is not there")
            return {}
        variables: dict[str, str] = {}
        before = self.variables
        self.variables = ChainMap(dict(before), variables)  # what was known before counts first, then the lines above
        try:
            for each in parse_stream(io.StringIO(self._text(found))):
                if each.key and each.value is None:  # a name alone
                    value = self.value_of(each.key)
                    variables |= {} if value is None else {each.key: value}
                elif each.key and each.value is not None:
                    is_literal = re.match(r"[^=]*=\s*'", each.original.string)
                    variables[each.key] = each.value if is_literal else self.expanded(each.value)
        finally:
            self.variables = before
        return variables

    def pairs(self, value: Any) -> dict[str, str]:
        """`environment` and `args` with their values. A name alone has one only where that was given."""
        known = {}
        for name, text in _pairs(value).items():
            text = self.value_of(name) if text is None else text
            if text is not None:
                known[name] = str(text).lower() if isinstance(text, bool) else str(text)
        return known

    # --- a service ---

    def _service(self, file: Path, name: str, above: tuple[tuple[Path, str], ...] = ()) -> dict[str, Any]:
        """What is taken of a service, and of what it extends."""
        if (file, name) in above or len(above) > MOST_EXTENDED:
            raise LabError(f"In {self.shown}, the service {name!r} extends itself.", "Look at its `extends`.")
        definition: dict[str, Any] = self.services(file)[name] or {}
        taken: dict[str, Any] = self.filled({key: value for key, value in definition.items() if key in _TAKEN})
        others = set(definition) - _TAKEN - _OF_NO_ACCOUNT
        if build := taken.get("build"):
            taken["build"] = build = dict(build) if isinstance(build, dict) else {"context": build}
            others |= {f"build.{key}" for key in set(build) - _TAKEN_OF_BUILD}
            build["args"] = _pairs(build.get("args"))
            if "context" in build or "extends" not in taken:
                build["context"] = file.parent / (build.get("context") or ".")
        if names := sorted(key for key in map(str, others) if not key.startswith("x-")):
            self._leave_out(f"`{'`, `'.join(names)}` for {name!r}, which the audit does not give it")
        taken["notes"] = [key for key in _NOTES if definition.get(key)]
        taken["environment"] = _pairs(taken.get("environment"))
        files = taken.get("env_file") or []
        taken["env_file"] = [(file.parent, each) for each in ([files] if isinstance(files, str | dict) else files)]
        extends = taken.pop("extends", None)
        if not extends:
            return taken
        extends = {"service": extends} if isinstance(extends, str) else extends
        of = file
        if "file" in extends:
            of = self._needed(file.parent / extends["file"], f"{extends['file']}, which {name!r} extends,")
        return _merged(self._service(of, extends["service"], (*above, (file, name))), taken)

    def project(self, shown: str, name: str, build_args: Mapping[str, str], named: str | Path | None) -> Project:
        service = self._service(self.file, name)
        if not (build := service.get("build")):
            raise LabError(
                f"The service {name!r} has no `build`: it runs an image that is built elsewhere.",
                "Audit the project that it is built from.",
            )
        if "dockerfile_inline" in build:
            raise LabError(f"The service {name!r} has a `dockerfile_inline`.", "Write it into a file, and audit that.")
        folder = self._needed(build["context"], f"the build context of {name!r}")
        if not folder.is_dir():
            raise LabError(f"The build context of {name!r} is not a folder of the project.", f"Look into {self.shown}.")
        dockerfile = named or build.get("dockerfile")
        if not named:
            do = "To take it, name it: --dockerfile PATH"
            self._needed(folder / (dockerfile or "Dockerfile"), f"the Dockerfile of {name!r}", do)
            dockerfile = folder / dockerfile if dockerfile else None
        variables: dict[str, str] = {}
        for base, each in service["env_file"]:
            path, required = (each, True) if isinstance(each, str) else (each["path"], each.get("required", True))
            variables |= self._variables_in(base / path, f"the env_file {path}", required=required is not False)
        ports = [_container_port(port) for port in [*_list(service.get("ports")), *_list(service.get("expose"))]]
        health = service.get("healthcheck") or {}
        test = ["NONE"] if health.get("disable") is True else health.get("test")
        project = Project(
            shown=shown,
            folder=folder,
            dockerfile=dockerfile_of(folder.name, folder, dockerfile),
            target=build.get("target"),
            build_args=self.pairs({**build["args"], **build_args}),
            environment=self.pairs({**variables, **service["environment"], **self.given}),
            port=next((port for port in ports if port), None),
            command=_command(service.get("command")),
            entrypoint=_command(service.get("entrypoint")),
            init=service.get("init") in (True, "true"),
            user=str(service["user"]) if service.get("user") else None,
            stop_signal=service.get("stop_signal"),
            grace_seconds=min(_seconds(service.get("stop_grace_period")), LONGEST_GRACE_SECONDS),
            health_check=["CMD-SHELL", test] if isinstance(test, str) else test,
            notes=tuple(note for key, note in _NOTES.items() if key in service["notes"]),
        )
        if self.not_taken:
            names = "the variable" + "s" * (len(self.not_taken) > 1) + " " + ", ".join(self.not_taken)
            self._leave_out(f"{names}, and nothing was taken from your environment; --env NAME takes a variable")
        return replace(project, left_out=tuple(self.left_out))

    def _leave_out(self, what: str) -> None:
        self.left_out[f"{self.shown} names {what}."] = None


def _closing(text: str, place: int) -> int:
    """Where the brace is closed that was opened before `place`."""
    depth = 1
    for end in range(place, len(text)):
        depth += (text[end] == "{" and text[end - 1] == "$") - (text[end] == "}")
        if not depth:
            return end
    raise LabError(f"A variable is not closed: `${{…{text[place : place + 20]}`.", "Close it with }.")


def _pairs(value: Any) -> dict[str, Any]:
    """A mapping, or a list of ``NAME=value``. What has no value there is None."""
    if isinstance(value, dict):
        return value
    texts = [str(each).partition("=") for each in _list(value)]
    return {name: text if equals else None for name, equals, text in texts}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | None):
        raise TypeError(f"{value!r} where a list belongs")
    return value or []


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A service above the one that it extends, as Compose puts them together."""
    merged = {**base, **own}
    for key in base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _merged(base[key], own[key])
        elif key in ("ports", "expose"):
            merged[key] = [*own[key], *base[key]]  # the first counts
        elif key in ("env_file", "notes"):
            merged[key] = [*base[key], *own[key]]  # the last counts
    return merged


def _command(value: Any) -> list[str] | None:
    if value is None:
        return None
    return shlex.split(value) if isinstance(value, str) else [str(item) for item in value]


def _container_port(value: Any) -> int | None:
    if isinstance(value, dict):
        value = value.get("target")
    found = re.search(r"(\d+)(?:/tcp)?$", str(value))
    return int(found[1]) if found else None


def _seconds(value: Any) -> int:
    """A duration as Compose writes it: ``1m30s``."""
    if value is None:
        return DEFAULT_GRACE_SECONDS
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
    total = sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|us|m|s)", str(value)))
    return max(1, round(total))
