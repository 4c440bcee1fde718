"""The instructions of a Dockerfile, and which of them a build carries out as steps."""

import pytest
from dockerlab.build.dockerfile import parse


def texts(dockerfile, target=None):
    return [instruction.text for instruction in parse(dockerfile).steps(target)]


def test_only_instructions_that_change_files_are_steps():
    dockerfile = """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}
ENV A=1
WORKDIR /code
COPY . .
EXPOSE 80
CMD ["fastapi", "run"]
"""
    assert texts(dockerfile) == ["FROM ${BASE_IMAGE}", "WORKDIR /code", "COPY . ."]


def test_a_continued_instruction_is_one_with_the_comments_in_it_left_out():
    dockerfile = "FROM a\nrun apt-get update \\\n  # what nginx needs\n\n  && apt-get install   nginx\nCOPY a \\\n"
    assert texts(dockerfile) == ["FROM a", "RUN apt-get update && apt-get install nginx", "COPY a"]


def test_lines_are_counted_as_in_the_file():
    instructions = parse("# one\n\nFROM a\nRUN a \\\n  b\nRUN c\n").instructions
    assert [(i.line, i.text) for i in instructions] == [(3, "FROM a"), (4, "RUN a b"), (6, "RUN c")]


def test_the_escape_character_can_be_another():
    assert texts("# escape=`\nFROM a\nRUN dir `\n  c:\\\nRUN b\n") == ["FROM a", "RUN dir c:\\", "RUN b"]


def test_a_comment_that_looks_like_a_directive_below_the_first_lines_is_a_comment():
    assert texts("FROM a\n# escape=`\nRUN a \\\n b\n") == ["FROM a", "RUN a b"]


@pytest.mark.parametrize(
    ("heredoc", "text"),
    [
        ("RUN <<EOT\necho hi\nEOT\n", "RUN <<EOT (echo hi)"),
        ("RUN <<EOT\necho hi\nFROM b\nEOT\n", "RUN <<EOT (echo hi...)"),
        ("RUN <<-'EOT'\n\techo hi\n\tEOT\n", "RUN <<-'EOT' (echo hi)"),
        ("COPY <<EOF /file\nFROM b\nEOF\n", "COPY <<EOF /file"),
    ],
)
def test_the_body_of_a_heredoc_is_no_instruction(heredoc, text):
    assert texts(f"FROM a\n{heredoc}RUN last\n") == ["FROM a", text, "RUN last"]


def test_a_shift_or_a_here_string_is_no_heredoc():
    assert texts("FROM a\nRUN cat <<<hello ; echo $((1<<two ))\nRUN b\n")[2:] == ["RUN b"]


STAGES = """\
FROM a AS build
RUN compile
FROM a AS docs
RUN document
FROM build AS tested
RUN test
FROM a
COPY --from=build /x /x
"""


def test_only_the_stages_that_are_needed_are_built():
    assert texts(STAGES) == ["FROM a AS build", "RUN compile", "FROM a", "COPY --from=build /x /x"]


def test_a_target_needs_its_own_stages():
    assert texts(STAGES, "tested") == ["FROM a AS build", "RUN compile", "RUN test"]
    assert texts(STAGES, "1") == ["FROM a AS docs", "RUN document"]


def test_stages_are_needed_by_number_and_by_mount_too():
    dockerfile = (
        "FROM a\nRUN x\nFROM a AS tools\nRUN y\nFROM a\nCOPY --from=0 /x /x\nRUN --mount=type=bind,from=tools z\n"
    )
    assert {"RUN x", "RUN y"} <= set(texts(dockerfile))


def test_steps_are_numbered_as_the_builder_does():
    numbers = {i.text: (i.stage, i.step) for i in parse(STAGES).instructions}
    assert numbers["FROM a AS build"] == (0, 1)
    assert numbers["RUN compile"] == (0, 2)
    assert numbers["FROM build AS tested"] == (2, 0)  # a stage on top of another has no FROM of its own
    assert numbers["RUN test"] == (2, 1)
    assert parse("FROM scratch\nCOPY a b\n").instructions[1].step == 1


def test_declared_arguments_are_known():
    dockerfile = parse("ARG BASE_IMAGE=a\nFROM ${BASE_IMAGE}\nARG X Y=2\n")
    assert all(map(dockerfile.declares, ["BASE_IMAGE", "X", "Y"]))
    assert not dockerfile.declares("BASE")
    assert not parse("FROM a\nRUN echo BASE_IMAGE\n# ARG BASE_IMAGE\n").declares("BASE_IMAGE")


HEADS = """\
ARG BASE=a:1
FROM --platform=linux/amd64 ${BASE} AS build
ENV WORD=1
WORKDIR /build
RUN compile
FROM b AS tools
RUN first
WORKDIR /late
FROM build AS tested
WORKDIR /build
FROM ${BASE}
COPY --from=build /x /x
WORKDIR /code
"""


def test_the_head_of_a_stage_ends_with_the_folder_that_it_begins_in():
    head = "ARG BASE=a:1\nFROM --platform=linux/amd64 ${BASE} AS build\nENV WORD=1\nWORKDIR /build\n"
    assert parse(HEADS).heads() == [("a:1", head)]
    assert parse(HEADS).heads(arguments={"BASE": "c"}) == [("c", head)]
    assert parse(HEADS).heads("tools") == []
    assert parse("FROM a\nWORKDIR /code\nFROM a\nWORKDIR /code\nCOPY --from=0 x y\n").heads() == [
        ("a", "FROM a\nWORKDIR /code\n")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "FROM\nWORKDIR /code\n",
        "FROM $\nWORKDIR /code\n",
        "RUN a\n",
        "\ufeffFROM a",
        "FROM",
        "nonsense <<EOT",
        "RUN <<EOT\n",
        "ARG =\n",
    ],
)
def test_whatever_the_text_is_the_builder_says_what_is_wrong_with_it(text):
    parse(text).steps()
    parse(text).steps("nowhere")
    parse(text).heads()


def test_the_images_that_a_build_needs():
    dockerfile = parse(
        """\
ARG BASE=python:3.13
ARG TAG
FROM $BASE AS build
FROM "registry.example/team/base:${TAG}" AS private
FROM build AS test
COPY --from=registry.example/tools:1 /a /a
COPY --from=private /b /b
RUN --mount=from=0,target=/c --mount=type=bind,from=nginx,target=/d true
FROM --platform=linux/arm64 other
FROM scratch
COPY --from=test /a /a
FROM unset:$NOTHING
"""
    )
    assert dockerfile.images("test") == ["python:3.13", "registry.example/tools:1", "nginx"]
    assert dockerfile.images("stage-4", {"BASE": "python:3.12"})[0] == "python:3.12"
    assert dockerfile.images("private", {"TAG": "7"}) == ["registry.example/team/base:7"]
    assert dockerfile.images("stage-3") == []
    assert dockerfile.images() == []
