"""Requests lost in a rolling update, for each 10,000 sent, where the version that goes is in exec form or shell form.

They are counted in two deployments: lesson 07's first one (one replica, Swarm's defaults), and `sample_app/stack.yaml`
(three replicas, `order: start-first`, a health check). On one node; what is counted depends little on the machine, and
more on how long the traffic lasts before and after the update, which is the same for all.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from dockerlab import send
from dockerlab.build import build
from dockerlab.deploy import swarm
from dockerlab.records import Rollout
from lesson_files import SAMPLE_APP, written
from opened import opened
from ratio import Ratio

EXEC = 'CMD ["fastapi", "run", "app/main.py", "--port", "80"]'
SHELL = "CMD fastapi run app/main.py --port 80"


def measure() -> list[Ratio]:
    with opened("bench-replicas") as lab:
        ours, defaults = _measure(lab)
    return [
        Ratio("lost of 10,000, sample_app/stack.yaml, exec form", ours["exec"], unit="requests"),
        Ratio("lost of 10,000, sample_app/stack.yaml, shell form", ours["shell"], unit="requests"),
        Ratio(
            "lost of 10,000, one replica, Swarm's defaults, exec form",
            defaults["exec"],
            "shell form",
            defaults["shell"],
            at_most=0.6,
            unit="requests",
        ),
    ]


def _measure(lab) -> tuple[dict[str, float], dict[str, float]]:
    files = written("07_replicas")
    project = Path(shutil.copytree(SAMPLE_APP, lab.workspace / "project"))
    (project / "first.yaml").write_text(files["project/first.yaml"])
    (project / "proxy" / "Dockerfile").write_text(files["project/proxy/Dockerfile"])
    text = (project / "Dockerfile").read_text()
    if EXEC not in text:
        raise LookupError(f"the sample app's Dockerfile has no line {EXEC!r}")
    images = {}
    for form, command in {"exec": EXEC, "shell": SHELL}.items():
        for number in (1, 2):  # an update needs a difference
            (project / "Dockerfile").write_text(f"{text.replace(EXEC, command)}LABEL release={number}\n")
            images[f"{form}{number}"] = build(lab, project, name=f"{form}{number}", progress=False)
    images["proxy"] = build(lab, project / "proxy", name="proxy", progress=False)
    repository = images["proxy"].image.removesuffix(":proxy")

    [node] = swarm.start_nodes(lab).values()
    node.run("swarm", "init")
    swarm.give([node], list(images.values()))

    def deploy(file: str, version: str) -> None:
        node.run(
            *["stack", "deploy", "--resolve-image", "never", "--compose-file", str(project / file), "shop"],
            environment={"IMAGE": repository, "PROXY_IMAGE": images["proxy"].image, "VERSION": version},
        )

    def lost(file: str, replicas: int) -> dict[str, float]:
        found = {}
        for form in ("exec", "shell"):
            for stack in node.run("stack", "ls", "--format", "{{.Name}}").split():
                node.run("stack", "rm", stack)
            swarm.wait_until(lambda: not node.client.containers.list(), "the earlier tasks are gone")
            swarm.wait_until(lambda: "shop_apps" not in node.run("network", "ls"), "the earlier network is gone")
            deploy(file, f"{form}1")
            swarm.wait_for_replicas(node, "shop_web", replicas)
            swarm.wait_until(lambda: not send(node.url(), ["/"]).failed, "the stack answers")
            change = partial(deploy, file, f"{form}2")
            found[form] = _per_10000(swarm.rollout(form, node, "shop_web", change, url=node.url()))
        return found

    return lost("stack.yaml", 3), lost("first.yaml", 1)


def _per_10000(update: Rollout) -> float:
    return 10_000 * update.traffic.failed / len(update.traffic.requests)
