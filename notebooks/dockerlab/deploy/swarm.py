"""The services of a swarm: their tasks, and an update under traffic. The engines it is made of are in `nodes`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from docker.errors import NotFound

from ..errors import SwarmFailed
from ..records import Event, Rollout, Task
from ..run import traffic
from ..wait import until
from .nodes import Node, give, node_image, start_nodes

# All that lesson 07 needs of a swarm.
__all__ = ["give", "node_image", "rollout", "running", "start_nodes", "tasks", "wait_for_replicas", "wait_until"]

UPDATE_SECONDS = 180
"""How long an update may take."""

_EXITED = ("complete", "shutdown", "failed", "rejected", "remove")
_ENDED = (*_EXITED, "orphaned")  # this one's node is lost, and with it the exit code
"""States of a task that has ended (Docker's documentation, "Swarm task states")."""

_OVER = ("completed", "paused", "rollback_completed", "rollback_paused")
_OUTCOMES = {"rollback_completed": "rolled back", "rollback_paused": "rollback paused"}


def tasks(manager: Node, service: str) -> list[Task]:
    """The tasks of a service, the youngest first: those that run, and what the swarm remembers of those that did.

    Raises:
        SwarmFailed: there is no such service, the node is no manager, or its engine does not answer.
    """
    found = _inspect(manager, service)
    with manager.explained("docker service ps"):
        hostnames = {item.id: item.attrs["Description"]["Hostname"] for item in manager.client.nodes.list()}
        listed = manager.client.api.tasks({"service": found["ID"]})  # type: ignore[no-untyped-call]  # a bare stub
    return [_task(item, hostnames) for item in sorted(listed, key=lambda item: item["CreatedAt"], reverse=True)]


def _task(item: dict[str, Any], hostnames: dict[str | None, str]) -> Task:
    status = item["Status"]
    container = status.get("ContainerStatus") or {}
    return Task(
        id=item["ID"],
        slot=item.get("Slot", 0),
        node=hostnames.get(item.get("NodeID", ""), ""),
        image=item["Spec"]["ContainerSpec"]["Image"],
        wanted=item["DesiredState"],
        state=status["State"],
        container=container.get("ContainerID", ""),
        exit_code=container.get("ExitCode") if status["State"] in _EXITED else None,
        error=status.get("Err", ""),
    )


def running(manager: Node, service: str) -> list[Task]:
    """The tasks of a service that run, and are meant to."""
    return [task for task in tasks(manager, service) if task.wanted == task.state == "running"]


def wait_until(condition: Callable[[], object], what: str, *, timeout: float = UPDATE_SECONDS) -> None:
    """Wait until something is so: look every now and then.

    Args:
        condition: returns whether it is.
        what: what is waited for, for the error: ``3 tasks run``.
        timeout: how many seconds it may take.

    Raises:
        SwarmFailed: it did not become so in time.
    """
    if not until(condition, timeout, every=0.1):
        do = "Look at `docker service ps`: its column ERROR says why a task does not run."
        raise SwarmFailed(f"After {timeout:g} s, it was still not true that {what}.", do)


def wait_for_replicas(manager: Node, service: str, count: int, *, timeout: float = UPDATE_SECONDS) -> list[Task]:
    """Wait until so many tasks of a service run, each healthy where it has a health check, and no task is starting.

    Raises:
        SwarmFailed: they do not in time.
    """

    def all_run() -> bool:
        wanted = [task for task in tasks(manager, service) if task.wanted in ("running", "ready")]
        return len(wanted) == count and all(task.state == "running" for task in wanted)

    wait_until(all_run, f"{count} tasks of {service} run", timeout=timeout)
    return running(manager, service)


def rollout(
    name: str,
    manager: Node,
    service: str,
    change: Callable[[], object],
    *,
    url: str,
    path: str = "/",
    per_second: float = 100,
) -> Rollout:
    """Change a service under traffic, and observe it until the swarm says that the update is over and the tasks that
    it took away have ended. The traffic begins at least 1 s before the change, and ends 1 s after its end.

    Args:
        name: the short name for the record.
        manager: a manager of the swarm.
        service: the service that is changed.
        change: changes it: runs `docker stack deploy`, or `docker service update`.
        url: where requests are sent.
        path: the path that is requested.
        per_second: how many are sent each second.

    Raises:
        SwarmFailed: the change was refused, changed nothing, or was not over in time.
        LabError: this machine could not send that many requests.
    """

    def update() -> dict[str, Any]:
        return _inspect(manager, service).get("UpdateStatus") or {}

    def is_over() -> bool:
        now = update()
        return now.get("StartedAt") != earlier.get("StartedAt") and now.get("State") in _OVER

    def have_ended() -> bool:
        return all(task.state in _ENDED for task in tasks(manager, service) if task.wanted == "shutdown")

    earlier = update()
    before = {task.id: task for task in tasks(manager, service)}
    with traffic.steady(url, path, per_second=per_second, timeout_seconds=30) as under_way:
        time.sleep(1)
        began = time.perf_counter()
        change()
        wait_until(is_over, f"the update of {service} was over")
        updated = time.perf_counter()
        state = update()["State"]
        outcome = _OUTCOMES.get(state, state)
        wait_until(have_ended, f"the old tasks of {service} had ended")
        ended = time.perf_counter()
        time.sleep(1)
    moments = [(began, "begins"), (updated, outcome), (ended, "the old tasks have ended")]
    after = tasks(manager, service)
    gone = [task for task in after if task.state in _ENDED]
    return Rollout(
        name=name,
        outcome=outcome,
        traffic=under_way.traffic,
        events=tuple(Event(moment - under_way.began, what) for moment, what in moments),
        ended=tuple(task for task in gone if task.id in before and before[task.id].state not in _ENDED),
        failed=tuple(task for task in gone if task.id not in before),
        running=tuple(task for task in after if task.wanted == task.state == "running"),
    )


def _inspect(manager: Node, service: str) -> dict[str, Any]:
    try:
        with manager.explained("docker service inspect"):
            found: dict[str, Any] = manager.client.api.inspect_service(service)  # type: ignore[no-untyped-call]  # likewise
            return found
    except NotFound as error:
        seen = f"The swarm has no service {service!r}."
        raise SwarmFailed(seen, "Deploy the stack first; a service's name begins with the stack's.") from error
