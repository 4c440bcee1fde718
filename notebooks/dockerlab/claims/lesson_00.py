"""Lesson 00, a container started, asked and stopped: its claims."""

from __future__ import annotations

from .claim import Claim
from .exercise import LessonExercise

CLAIMS = [
    Claim(
        "container.one-process",
        "A container runs the process that you name, and no other: no operating system boots.",
        {"processes": 1, "name": "python"},
        "https://docs.docker.com/get-started/docker-concepts/the-basics/what-is-a-container/",
        "Which processes run in this container?",
        {
            "Only the server": {"processes": 1, "name": "python"},
            "An init process, and the server as its child": {"processes": 2},
            "A small Linux: an init process, a few services, and the server": {"processes": "five or more"},
        },
    ),
    Claim(
        "container.own-files",
        "A container has a file system and a host name of its own.",
        {"status": 200, "host_name": "the container's id"},
        "https://docs.docker.com/engine/containers/run/",
    ),
    Claim(
        "container.no-handler",
        "As PID 1, a program without a handler for SIGTERM is killed at the end of the grace period.",
        {"exit_code": 137},
        "https://docs.docker.com/reference/cli/docker/container/stop/",
        "docker stop allows two seconds here. How does this server end?",
        {
            "At once, with exit code 0: it shuts down": {"exit_code": 0},
            "At once, with exit code 143: SIGTERM terminates it": {"exit_code": 143},
            "After two seconds, with exit code 137: it is killed": {"exit_code": 137},
        },
    ),
]

EXERCISES: list[LessonExercise] = []
