"""Each instruction is found where it is, however it is written, and the steps are those that the builder executes."""

import pytest
from dockerlab.build.dockerfile import parse, replace

# --- where an instruction is


def keywords(text):
    return [each.keyword for each in parse(text).instructions]


def test_lines_and_places():
    text = "# a comment\n\nfrom python:3.13 as base\nRUN one \\\n  # within\n\n  two\nCMD x\n"
    first, run, cmd = parse(text).instructions
    assert (first.keyword, first.line, first.stage) == ("FROM", 3, 0)
    assert (run.line, cmd.line) == (4, 8)
    assert text[run.start : run.end] == "RUN one \\\n  # within\n\n  two\n"
    assert text[cmd.start : cmd.end] == "CMD x\n"
    assert run.arguments.split() == ["one", "two"]
    assert [each.is_plain for each in (first, run, cmd)] == [True, False, True]


def test_each_word_is_found_in_the_text():
    text = "FROM --platform=linux/amd64 \\\n\tpython:3.13 AS base\nRUN echo wo\\\nrd\n"
    from_, run = parse(text).instructions
    assert [text[word.start : word.end] for word in from_.words] == [
        "FROM", "--platform=linux/amd64", "python:3.13", "AS", "base",
    ]  # fmt: skip
    assert [word.text for word in from_.operands()] == ["python:3.13", "AS", "base"]
    assert run.words[-1].text == "word"
    assert text[run.words[-1].start : run.words[-1].end] == "wo\\\nrd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n# x\n", []),
        ("FROM a\nRUN x \\", ["FROM", "RUN"]),
        ("FROM a\nRUN x \\  \n y\nCMD z", ["FROM", "RUN", "CMD"]),  # spaces behind the escape character
        ("FROM a\nRUN x \\\\\nCMD z", ["FROM", "RUN", "CMD"]),  # two are one that was escaped
        ("FROM a\nRUN x `\nCMD z", ["FROM", "RUN", "CMD"]),
        ("# escape=`\nFROM a\nRUN x `\n y\nCMD z", ["FROM", "RUN", "CMD"]),
        ("# escape=`\nFROM a\nRUN dir c:\\\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\n# escape=`\nRUN x `\nCMD z", ["FROM", "RUN", "CMD"]),  # too late for a directive
        ("FROM a\r\nRUN x \\\r\n y\r\nCMD z\r\n", ["FROM", "RUN", "CMD"]),
        ("\ufeffFROM a\nCMD z", ["FROM", "CMD"]),
        ("FROM a\n  cmd z", ["FROM", "CMD"]),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\nRUN <<-EOF\nFROM b\n\tEOF\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\nCOPY <<'one' <<\"two\" /x/\nRUN a\none\nRUN b\ntwo\nCMD z", ["FROM", "COPY", "CMD"]),
        ("FROM a\nRUN python3 <<EOF > x\nRUN b\nEOF\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\nRUN echo 'x <<EOF'\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\nRUN cat <<< EOF\nCMD z", ["FROM", "RUN", "CMD"]),
        ("FROM a\nENV X=<<EOF\nCMD z", ["FROM", "ENV", "CMD"]),
        ("FROM a\nRUN <<EOF\nnever ended", ["FROM", "RUN"]),
        ("FROM a\nRUN echo \u2028 \x0b x\nCMD z", ["FROM", "RUN", "CMD"]),
    ],
)
def test_instructions(text, expected):
    assert keywords(text) == expected


def test_the_instructions_and_what_is_between_them_are_the_text():
    text = "# syntax=x\n# c\nFROM a\n\nRUN <<E\nx\nE\n# d\nCMD \\\n z"
    source = parse(text)
    rest = replace(text, [(each.start, each.end, "") for each in source.instructions])
    assert rest == "# syntax=x\n# c\n\n# d\n"


def test_directives():
    source = parse(
        "#!/usr/bin/env x\n# Syntax = docker/dockerfile:1 \n#escape=`\n# a=b c\n# comment\n# check=skip=all\nFROM a\n"
    )
    assert [(each.name, each.value, each.line) for each in source.directives] == [
        ("syntax", "docker/dockerfile:1", 2),
        ("escape", "`", 3),
        ("a", "b c", 4),
    ]
    assert source.escape == "`"
    assert source.instructions[0].line == 7


def test_stages():
    source = parse("ARG X\nFROM a\nRUN a\nFROM b\nRUN b\n")
    assert [each.stage for each in source.instructions] == [-1, 0, 0, 1, 1]
    assert source.stages == ("", "")
    assert [each.arguments for each in source.in_stage(1)] == ["b", "b"]


@pytest.mark.parametrize(
    ("target", "number"),
    [(None, 3), ("a", 2), ("A", 2), ("1", 1), ("0", 0), ("3", 3), ("4", None), ("x", None), ("", None)],
)
def test_the_stage_that_is_meant(target, number):
    source = parse("FROM x AS a\nFROM x AS b\nFROM --platform=p x as A\nFROM x\n")
    assert source.stages == ("a", "b", "a", "")
    assert source.stage(target) == number


def test_there_are_no_stages():
    assert parse("ARG X\n").stage() is None


def test_the_line_end_of_the_file():
    assert parse("FROM a\r\nCMD b\r\n").line_end == "\r\n"
    assert parse("FROM a\nCMD b\n").line_end == "\n"
    assert parse("FROM a").line_end == "\n"


def test_replace():
    assert replace("abcdef", [(0, 1, "X"), (4, 6, ""), (2, 2, "-")]) == "Xb-cd"


# --- steps, stages and images


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


def test_the_escape_character_can_be_another():
    assert texts("# escape=`\nFROM a\nRUN dir `\n  c:\\\nRUN b\n") == ["FROM a", "RUN dir c:\\", "RUN b"]


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"RUN echo C:\\" "\n", [r"RUN echo C:\\"]),  # the escape character is escaped: nothing is continued
        ("RUN <<'E O F'\necho hi\nE O F\n", ["RUN <<'E O F' (echo hi)"]),
        ("RUN <<my-end\necho hi\nmy-end\n", ["RUN <<my-end (echo hi)"]),
        ("RUN echo \u2028# x\n", ["RUN echo # x"]),  # Unicode's line separator ends no line of a Dockerfile
        ('RUN echo "a <<EOF b"\n', ['RUN echo "a <<EOF b"']),  # a quoted one is text
        ("RUN echo wo\\\nrd\n", ["RUN echo word"]),
    ],
)
def test_where_an_instruction_ends(text, expected):
    assert texts(f"FROM a\n{text}COPY b .\n") == ["FROM a", *expected, "COPY b ."]
    assert parse(f"FROM a\n{text}COPY b .\n").instructions[-1].line == 2 + text.count("\n")


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


PREFIXES = """\
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


def test_the_prefix_of_a_stage_ends_with_the_folder_that_it_begins_in():
    prefix = "ARG BASE=a:1\nFROM --platform=linux/amd64 ${BASE} AS build\nENV WORD=1\nWORKDIR /build\n"
    assert parse(PREFIXES).prefixes() == [("a:1", prefix)]
    assert parse(PREFIXES).prefixes(arguments={"BASE": "c"}) == [("c", prefix)]
    assert parse(PREFIXES).prefixes("tools") == []
    assert parse("FROM a\nWORKDIR /code\nFROM a\nWORKDIR /code\nCOPY --from=0 x y\n").prefixes() == [
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
    parse(text).prefixes()


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
    assert dockerfile.images("4", {"BASE": "python:3.12"})[0] == "python:3.12"
    assert dockerfile.images("private", {"TAG": "7"}) == ["registry.example/team/base:7"]
    assert dockerfile.images("3") == []
    assert dockerfile.images() == []
    variable_stage = "ARG BASE=build\nFROM python AS build\nFROM $BASE\nRUN echo --from=b --mount=from=c\n"
    assert parse(variable_stage).images("1") == []
