"""BuildKit's progress messages, decoded.

With `version=2` the engine's build endpoint answers with a stream of `moby.buildkit.trace` messages, each a serialised
`moby.buildkit.v1.StatusResponse`.
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from ..lab.build_cache import STEP_NAME, executed
from .build_progress import LiveStep, plain_text
from .dockerfile import Dockerfile, Instruction

if TYPE_CHECKING:
    from google.protobuf import message

_LOAD_CONTEXT = "load remote build context"
_RECORD_OF_CONTEXT = "http url http://build-context-"

_PROTO = """
name: "dockerlab/buildkit.proto" package: "moby.buildkit.v1" syntax: "proto3"
dependency: "google/protobuf/timestamp.proto"
message_type { name: "Vertex"
  field { number: 1 name: "digest" type: TYPE_STRING }
  field { number: 3 name: "name" type: TYPE_STRING }
  field { number: 4 name: "cached" type: TYPE_BOOL }
  field { number: 5 name: "started" type_name: ".google.protobuf.Timestamp" }
  field { number: 6 name: "completed" type_name: ".google.protobuf.Timestamp" }
  field { number: 7 name: "error" type: TYPE_STRING }
}
message_type { name: "VertexStatus"
  field { number: 2 name: "vertex" type: TYPE_STRING }
  field { number: 5 name: "total" type: TYPE_INT64 }
}
message_type { name: "VertexLog"
  field { number: 1 name: "vertex" type: TYPE_STRING }
  field { number: 4 name: "msg" type: TYPE_BYTES }
}
message_type { name: "StatusResponse"
  field { number: 1 name: "vertexes" type_name: ".moby.buildkit.v1.Vertex" label: LABEL_REPEATED }
  field { number: 2 name: "statuses" type_name: ".moby.buildkit.v1.VertexStatus" label: LABEL_REPEATED }
  field { number: 3 name: "logs" type_name: ".moby.buildkit.v1.VertexLog" label: LABEL_REPEATED }
}
"""
"""The fields that are read, as `api/services/control/control.proto` in github.com/moby/buildkit numbers them.

Protobuf skips all others.
"""


@cache
def status_response() -> type[message.Message]:
    """The class of BuildKit's `StatusResponse`, made when the first build needs it: protobuf is slow to load."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, timestamp_pb2

    # A pool of our own: another library in the same process may have declared BuildKit's messages, too.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("moby.buildkit.v1.StatusResponse"))


def decode(aux: str) -> Any:
    """The `StatusResponse` in the field `aux` of a message whose `id` is `moby.buildkit.trace`.

    Its type is known only when the program runs.
    """
    return status_response().FromString(base64.b64decode(aux))


@dataclass
class _Vertex:
    """One vertex of the build graph, put together from its reports."""

    name: str
    cached: bool = False
    error: str = ""
    spans: dict[int, int | None] = field(default_factory=dict)
    """When it was at work: start and end (None: not yet) in nanoseconds since the epoch, on the engine's clock."""
    seen: float = 0.0
    """When its last start was reported, on our clock."""
    log: bytearray = field(default_factory=bytearray)
    pulled: bool = False

    @property
    def is_resolved(self) -> bool:
        return self.cached or bool(self.error) or (bool(self.spans) and None not in self.spans.values())

    @property
    def is_free(self) -> bool:
        """Whether its work leaves no record in the build cache."""
        is_from = " FROM " in self.name and self.name.startswith("[")
        return self.name.startswith(("[internal] load metadata", "exporting to")) or (is_from and not self.pulled)

    def describes(self, record: str) -> bool:
        """Whether a record of the build cache can be the work of this vertex, by its description in single spaces."""
        if not (found := STEP_NAME.match(self.name)):
            return record == self.name
        if found["keyword"] == "FROM":
            return record.startswith(("from local", f"pulled from {found['text']}"))
        if found["keyword"] == "RUN":
            # ``mount / from exec /bin/sh -c pip install …``, ``cached mount /cache from exec /bin/sh -c pip install …``
            return " from exec " in record and executed(found["text"]) in record
        return record == " ".join(self.name.split())

    @property
    def began(self) -> int:
        return min(self.spans, default=0)

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.spans.items() if end is not None) / 1e9


class Trace:
    """The steps of one build, out of the messages of BuildKit.

    BuildKit shares work between the builds that go on at the same time, and reports a shared vertex under the name that
    the first of them gave it: a build of six steps may see a ``[4/5]``. So each step of our Dockerfile is matched with
    the vertex that fits it best.

    Args:
        dockerfile: what is built.
        target: the build stage to stop at; the last if None.
    """

    def __init__(self, dockerfile: Dockerfile, target: str | None = None) -> None:
        self._stages = [name or f"stage-{number}" for number, name in enumerate(dockerfile.stages)]
        self._totals = [
            max((each.step for each in dockerfile.in_stage(stage)), default=0) for stage in range(len(self._stages))
        ]
        self._steps = dockerfile.steps(target)
        self._vertices: dict[str, _Vertex] = {}

    def add(self, aux: str) -> None:
        """Take in the field `aux` of one message."""
        response = decode(aux)
        for reported in response.vertexes:
            vertex = self._vertices.setdefault(reported.digest, _Vertex(reported.name))
            vertex.cached = reported.cached
            vertex.error = reported.error
            if reported.HasField("started"):
                start = reported.started.ToNanoseconds()
                if start not in vertex.spans:
                    vertex.seen = time.monotonic()
                vertex.spans[start] = reported.completed.ToNanoseconds() if reported.HasField("completed") else None
        for status in response.statuses:
            if status.vertex in self._vertices and status.total:
                self._vertices[status.vertex].pulled = True
        for line in response.logs:
            if line.vertex in self._vertices:
                self._vertices[line.vertex].log += line.msg

    @property
    def began(self) -> int:
        """When this build began, in nanoseconds since the epoch, on the engine's clock.

        Of several contexts, all but the last are those of other builds, whose work we share.
        """
        return max(self._contexts(), default=0)

    @property
    def earliest(self) -> int:
        """When the first of the builds began whose work we may share, ours among them: no record of ours is older."""
        return min(self._contexts(), default=0)

    def _contexts(self) -> list[int]:
        """When each build began whose messages are among these, ours among them."""
        return [vertex.began for vertex in self._vertices.values() if vertex.name.endswith(_LOAD_CONTEXT)]

    def describes(self, record: str) -> bool:
        """Whether a record of the build cache can be the work of this build, by its description."""
        record = " ".join(record.split())
        if record.startswith(_RECORD_OF_CONTEXT) or any(v.describes(record) for v in self._vertices.values()):
            return True
        # A vertex may be named with the values of variables, where the record has the text of the Dockerfile.
        runs = [executed(step.text.partition(" ")[2]) for step in self._steps if step.keyword == "RUN"]
        return " from exec " in record and any(run in record for run in runs)

    @property
    def is_all_cached(self) -> bool:
        """Whether the build found everything in the cache, its context too, and so left nothing new in it."""
        return not any(vertex.spans and not vertex.cached and not vertex.is_free for vertex in self._vertices.values())

    def steps(self) -> list[LiveStep]:
        return [self._live(step, vertex) for step in self._steps if (vertex := self._vertex_of(step))]

    def _live(self, step: Instruction, vertex: _Vertex) -> LiveStep:
        log = plain_text(bytes(vertex.log))
        if vertex.error:
            return LiveStep(step.text, "failed", vertex.seconds, vertex.error, log)
        if step.keyword == "FROM" and vertex.is_resolved:
            # The flag is set or not as it happens; what counts is whether the image had to be fetched.
            return LiveStep(step.text, "built", vertex.seconds) if vertex.pulled else LiveStep(step.text, "cached")
        if vertex.cached or (vertex.is_resolved and vertex.began < self.began):
            return LiveStep(step.text, "cached", log=log)  # begun before us: another build's work, that we found
        if vertex.is_resolved:
            return LiveStep(step.text, "built", vertex.seconds, log=log)
        if vertex.spans:
            return LiveStep(step.text, "running", vertex.seconds + time.monotonic() - vertex.seen, log=log)
        return LiveStep(step.text, "waiting")

    def _vertex_of(self, step: Instruction) -> _Vertex | None:
        candidates = [
            (score, vertex)
            for vertex in self._vertices.values()
            if (name := STEP_NAME.match(vertex.name)) and (score := self._likeness(step, name, vertex))
        ]
        return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None

    def _likeness(self, step: Instruction, name: re.Match[str], vertex: _Vertex) -> tuple[bool, ...] | None:
        """How well a vertex fits a step: what counts most comes first. None: not at all."""
        if name["keyword"].upper() != step.keyword:
            return None
        return (
            # Variables are put into the text of a COPY, and an image's full name into a FROM: then it is not the same.
            " ".join(name["text"].split()) == step.text.partition(" ")[2],
            int(name["number"]) == step.step,
            # Work that we share is done once, under one name: the vertex of the other name may never be reported again.
            bool(vertex.spans),
            (name["stage"] or "").lower() == self._stages[step.stage],
            int(name["total"]) == self._totals[step.stage],
        )
