"""Build with a build secret, by the docker command line.

The engine requests a secret during the build, over a session that the client holds open. Its plain API has no session.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from .. import wait
from ..errors import BuildFailed, LabError
from ..lab import build_cache, ledger
from ..lab.lab import Lab
from . import build_context
from . import dockerfile as dockerfiles

HAS_BUILDKIT_FROM, NEEDS_BUILDX_FROM = 18, 23
"""The major versions of the docker command line that build with BuildKit by themselves; later ones call buildx."""


def builder_with_secrets(lab: Lab) -> list[str] | None:
    """The command that builds with secrets here, up to its options: that of buildx, or of an older command line.

    None where neither is there.
    """
    environment = lab.engine.environment
    if _output(["docker", "buildx", "version"], environment):
        return ["docker", "buildx", "build"]
    version = _output(["docker", "version", "--format", "{{.Client.Version}}"], environment)
    major = int(version.partition(".")[0]) if version.partition(".")[0].isdecimal() else 0
    return ["docker", "build"] if HAS_BUILDKIT_FROM <= major < NEEDS_BUILDX_FROM else None


def build_with_secrets(
    lab: Lab,
    project: str | Path,
    secrets: Mapping[str, str],
    *,
    name: str,
    dockerfile: str = "Dockerfile",
    timeout: float = 300,
) -> str:
    """Build an image, with secrets for those of its `RUN`s that mount them with `--mount=type=secret`.

    Args:
        lab: what the image belongs to: it goes when the lab is closed.
        project: the build context.
        secrets: each secret by its id: the command reads it from the file ``/run/secrets/ID``.
        name: a short name, for the image's tag.
        dockerfile: a path from the folder.
        timeout: seconds after which the build is ended.

    Returns:
        The image's tag.

    Raises:
        LabError: nothing here can build with secrets.
        BuildFailed: the project is incomplete, an instruction failed, or the time is over.
    """
    source = build_context.find(project, dockerfile)
    if (command := builder_with_secrets(lab)) is None:
        raise LabError(
            "Nothing here can build with a secret: the docker command line, or its plugin buildx, is missing.",
            "Install docker-buildx (Debian, Ubuntu) or docker-buildx-plugin (Docker's own packages).",
        )
    tag = lab.tag(name)
    variables = {f"DOCKERLAB_SECRET_{number}": value for number, value in enumerate(secrets.values())}
    command += [f"--secret=id={id_},env={variable}" for id_, variable in zip(secrets, variables, strict=True)]
    command += [f"--label={key}={value}" for key, value in lab.labels.items()]
    if dockerfiles.parse(source.text).declares("BASE_IMAGE"):
        command.append(f"--build-arg=BASE_IMAGE={lab.base_image}")
    command += ["--progress=plain", f"--tag={tag}", f"--file={source.dockerfile}", str(source.folder)]
    done = _build(lab, command, variables, timeout)
    if done.returncode:
        log = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise BuildFailed(
            f"`{' '.join(command[:3])}` ended with exit code {done.returncode}.", "The log says why.", log=log
        )
    return tag


def _build(
    lab: Lab, command: list[str], variables: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run the command, and note the build cache records that it makes.

    Raises:
        BuildFailed: the time is over.
    """
    before = build_cache.descriptions(lab.client).keys()
    with tempfile.TemporaryDirectory() as folder:
        # Buildx notes things there, and with no notes it takes the engine's own builder, whatever the user chose.
        own = {"BUILDX_CONFIG": folder, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_BUILDKIT": "1"}
        try:
            return subprocess.run(
                command, env={**lab.engine.environment, **own, **variables}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            _wait_for_contexts(lab, before)
            raise BuildFailed(
                f"The build did not finish within {timeout:g} s, and was stopped.", "See what it waits for."
            ) from None
        finally:
            _note(lab, before)


def _wait_for_contexts(lab: Lab, before: Collection[str]) -> None:
    """Wait until the engine has given up a build whose command line was ended.

    Until then it holds the contexts that were sent as records in use, and afterwards as others, with ids of their own.
    """

    def are_released() -> bool:
        sent = [
            record
            for record in build_cache.records(lab.client)
            if record["ID"] not in before and record.get("Description", "").startswith(build_cache.SENT_BY_CLI)
        ]
        return bool(sent) and not any(record["InUse"] for record in sent)

    wait.until(are_released, 10, every=0.2)


def _note(lab: Lab, before: Collection[str]) -> None:
    """Write down the build cache records of this build: those that are new and name the lab, and the contexts sent."""
    ledger.note_build_records(
        lab.client,
        [
            id_
            for id_, description in build_cache.descriptions(lab.client).items()
            if id_ not in before and (lab.id in description or description.startswith(build_cache.SENT_BY_CLI))
        ],
    )


def _output(command: list[str], environment: Mapping[str, str]) -> str:
    """What a command prints, or "" where it fails or is not there."""
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
