"""Which images a Dockerfile needs, and what is left of its text when some are replaced: all but their names."""

import pytest
from dockerlab.audit.dockerfile_images import (
    BUILT_IN,
    Substituted,
    by_build_args,
    images,
    parse_base,
    substitute,
    syntax,
)
from dockerlab.errors import LabError
from dockerlab.records import Substitution


def needed(text, **options):
    return [use.image for use in images(text, **options)]


# --- which images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.13\n", ["python:3.13"]),
        ("from python:3.13 as base\ncmd x\n", ["python:3.13"]),
        ("FROM --platform=$BUILDPLATFORM python:3.13 AS base\n", ["python:3.13"]),
        ("FROM \\\n  --platform=linux/amd64 \\\n  python:3.13\n", ["python:3.13"]),
        ("FROM python:3.13@sha256:abc\n", ["python:3.13@sha256:abc"]),
        ('FROM "python:3.13"\n', ["python:3.13"]),
        ("FROM scratch\nCOPY a b\n", []),
        ("FROM a AS one\nFROM one AS two\nFROM two\n", ["a"]),
        ("FROM a AS One\nFROM oNE\n", ["a"]),
        ("FROM python AS python\nRUN x\nFROM python\n", ["python"]),  # the second is the stage
        ("FROM two\nFROM a AS two\nCOPY --from=0 /x /x\n", ["two", "a"]),  # a stage is none before it begins
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\n", ["a"]),
        ("FROM a\n# FROM b\nRUN x \\\n# FROM c\n && y\n", ["a"]),
        ("\ufeffFROM a\r\nCMD x\r\n", ["a"]),
        ("", []),
        ("no Dockerfile", []),
    ],
)
def test_from(text, expected):
    assert needed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nCOPY --from=b:1 /x /x\n", ["a", "b:1"]),
        ("FROM a\nCOPY --chown=1:1 --from=registry.example/b:1 --link /x /x\n", ["a", "registry.example/b:1"]),
        ("FROM a\nCOPY --link \\\n  --from=b:1 \\\n  /x /x\n", ["a", "b:1"]),
        ("FROM a AS one\nFROM b\nCOPY --from=one /x /x\nCOPY --from=0 /y /y\n", ["a", "b"]),
        ("FROM a AS one\nFROM b\nCOPY --from=ONE /x /x\n", ["a", "b"]),
        ("FROM a AS one\nCOPY --from=one /x /x\n", ["a", "one"]),  # no stage takes from itself
        ("FROM a\nRUN --mount=type=bind,from=b,source=/x,target=/x ls\n", ["a", "b"]),
        ("FROM a\nRUN --mount=from=b,target=/x --mount=type=cache,target=/y,from=c ls\n", ["a", "b", "c"]),
        ("FROM a\nRUN --mount=type=cache,target=/from=b ls --mount=from=c\n", ["a"]),
        ("FROM a AS one\nFROM b\nRUN --mount=from=one,target=/x ls\n", ["a", "b"]),
        ("FROM a\nRUN echo --from=b\nCOPY x --from=c\n", ["a"]),
        ("FROM a\nCOPY --from=$X /x /x\n", ["a"]),  # no variables there
        ("FROM a\nCOPY --from=scratch /x /x\n", ["a"]),
        ("FROM a\nCOPY --from=b <<EOF /x\nCOPY --from=c x y\nEOF\n", ["a", "b"]),
    ],
)
def test_copy_and_mount(text, expected):
    assert needed(text) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, ["a", "b", "d"]),
        ("final", ["a", "b", "d"]),
        ("FINAL", ["a", "b", "d"]),
        ("test", ["a", "c"]),
        ("one", ["a"]),
        ("0", ["a"]),
    ],
)
def test_only_what_the_target_needs(target, expected):
    text = (
        "FROM a AS one\nFROM b AS two\nRUN --mount=from=one,target=/x ls\n"
        "FROM one AS test\nCOPY --from=c / /\nFROM d AS final\nCOPY --from=two / /\n"
    )
    assert needed(text, target=target) == expected


def test_no_such_target():
    with pytest.raises(LabError, match="no stage 'nine'") as error:
        images("FROM a AS one\nFROM b AS two\n", target="nine")
    assert error.value.do == "Its stages are one, two."


def test_a_use_tells_where():
    text = "ARG V=3.13\n\nFROM python:${V}\nCOPY --from=b:1 / /\n"
    assert [(use.image, use.line, text[use.start : use.end]) for use in images(text)] == [
        ("python:3.13", 3, "python:${V}"),
        ("b:1", 4, "b:1"),
    ]


# --- variables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("python:$V", "python:3.13"),
        ("python:${V}-slim", "python:3.13-slim"),
        ("$NAME:$V", "python:3.13"),
        ("${NONE:-python}:1", "python:1"),
        ("${NONE:-python:${V}}", "python:3.13"),
        ("${NONE-python}", "python"),
        ("${EMPTY:-python}", "python"),
        ("x${EMPTY-python}", "x"),
        ("python${V:+:$V}", "python:3.13"),
        ("python${NONE:+:$V}", "python"),
        ("python${EMPTY:+:$V}", "python"),
        ("python${EMPTY+:$V}", "python:3.13"),
        ("python:${V:?needed}", "python:3.13"),
        ("python:${V%.*}", "python:3"),
        ("python:${V#*.}", "python:13"),
        ("${LONG##*/}", "c"),
        ("${LONG%%/*}", "a"),
        ("${LONG/b/x}", "a/x/c"),
        ("python:${V/3/4}", "python:4.13"),
        ("python:${V//3/4}", "python:4.14"),
        ("$BOTH", "python:3.13-slim"),
        ("$QUOTED", "python"),
        ("'$V'", "$V"),
        ("base-$TARGETARCH", "base-amd64"),
        ("base:${BUILDOS}", "base:linux"),
    ],
)
def test_variables(written, expected):
    arguments = (
        'ARG V=3.13\nARG NAME=python EMPTY=\nARG BOTH=$NAME:${V}-slim\nARG QUOTED="python"\nARG NONE\nARG LONG=a/b/c\n'
    )
    assert needed(f"{arguments}FROM {written}\n") == [expected]


def test_build_arguments_count_where_they_are_declared():
    text = "ARG V=3.12\nARG IMAGE=python:${V}\nFROM ${IMAGE}\n"
    assert needed(text) == ["python:3.12"]
    assert needed(text, build_args={"V": "3.13"}) == ["python:3.13"]
    assert needed(text, build_args={"IMAGE": "other"}) == ["other"]
    assert needed("ARG V=1\nFROM python:$V$W\n", build_args={"W": "2"}) == ["python:1"]


def test_arguments_of_a_stage_do_not_count_in_from():
    assert needed("ARG V=1\nFROM a:$V\nARG V=2\nFROM b:$V\nCOPY --from=0 / /\n") == ["a:1", "b:1"]


def test_a_stage_whose_name_depends_on_the_platform():
    text = "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-${TARGETARCH}\n"
    assert needed(text) == ["a"]
    assert needed(text, platform="linux/arm64/v8") == ["b"]


@pytest.mark.parametrize("written", ["$BASE", "${BASE}", "${BASE:?needed}", "${BASE/a*/b}", "${BASE"])
def test_an_image_without_a_name(written):
    with pytest.raises(LabError, match="not known") as error:
        images(f"ARG BASE\n\nFROM {written}\n")
    assert error.value.seen.startswith("Line 3 ")
    assert "--build-arg BASE=…" in error.value.do


def test_variables_that_double_each_other_are_refused():
    text = "ARG A0=xxxxxxxxxx\n" + "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 60)) + "FROM a\n"
    with pytest.raises(LabError, match="more than 10000 characters"):
        images(text)


def test_a_default_in_a_default_and_so_on_is_no_name():
    nested = "${A:-" * 1500 + "}" * 1500
    assert needed(f"ARG B={nested}\nFROM a\n") == ["a"]
    with pytest.raises(LabError, match="not known"):
        images(f"FROM {nested}\n")


# --- what was given --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("python:3.12-slim", ("python:3.12-slim", "")),
        ("python:3.12-slim=dockerlab/base:trixie", ("python:3.12-slim", "dockerlab/base:trixie")),
        (" python = ", None),
        ("registry.example:5000/a/b@sha256:0123=x", ("registry.example:5000/a/b@sha256:0123", "x")),
        ("", None),
        ("=x", None),
        ("x=", None),
        ("x y", None),
        ("x=y=z", None),
        ("x=$(y)", None),
        ("x=y\nRUN z", None),
    ],
)
def test_parse_base(option, expected):
    if expected is None:
        with pytest.raises(LabError, match="names no image"):
            parse_base(option)
    else:
        assert parse_base(option) == expected


# --- replaced --------------------------------------------------------------------------------------------------------

OTHER = "dockerlab/base:trixie"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.12\nCMD x\n", f"FROM {OTHER}\nCMD x\n"),
        ("  from   python:3.12   as   base  ", f"  from   {OTHER}   as   base  "),
        ("FROM --platform=linux/arm64 python:3.12\n", f"FROM --platform=linux/arm64 {OTHER}\n"),
        ("FROM \\\n# which\n  python:3.12 \\\n  AS x\n", f"FROM \\\n# which\n  {OTHER} \\\n  AS x\n"),
        ("FROM python:3.12\r\nCMD x\r\n", f"FROM {OTHER}\r\nCMD x\r\n"),
        ("\ufeffFROM python:3.12", f"\ufeffFROM {OTHER}"),
        ("ARG V=3.12\nFROM python:${V}\n", f"ARG V=3.12\nFROM {OTHER}\n"),
        ("FROM python:3.12@sha256:ab\n", f"FROM {OTHER}\n"),
        ("FROM docker.io/library/python:3.12\n", f"FROM {OTHER}\n"),
        ("FROM docker.io/python:3.12\n", f"FROM {OTHER}\n"),
        (
            "FROM python:3.12 AS a\nFROM a\nFROM python:3.12\nCOPY --from=1 / /\n",
            f"FROM {OTHER} AS a\nFROM a\nFROM {OTHER}\nCOPY --from=1 / /\n",
        ),
        ("FROM python:3.12 AS unused\nFROM python:3.12\n", f"FROM python:3.12 AS unused\nFROM {OTHER}\n"),
        ("FROM x\nCOPY --link --from=python:3.12 a b\n", f"FROM x\nCOPY --link --from={OTHER} a b\n"),
        ('FROM x\nCOPY --from="python:3.12" a b\n', f'FROM x\nCOPY --from="{OTHER}" a b\n'),
        (
            "FROM x\nRUN --mount=type=bind,from=python:3.12,target=/x ls\n",
            f"FROM x\nRUN --mount=type=bind,from={OTHER},target=/x ls\n",
        ),
        ("FROM python:3.12\nRUN <<EOF\nFROM python:3.12\nEOF\n", f"FROM {OTHER}\nRUN <<EOF\nFROM python:3.12\nEOF\n"),
        ("FROM python:3.12\nENV x=python:3.12\n# python:3.12\n", f"FROM {OTHER}\nENV x=python:3.12\n# python:3.12\n"),
        ("FROM pyth\\\non:3.12\nCMD x\n", f"FROM {OTHER}\nCMD x\n"),
        ("# escape=`\nFROM `\n python:3.12\n", f"# escape=`\nFROM `\n {OTHER}\n"),
    ],
)  # fmt: skip
def test_all_but_the_name_stays(text, expected):
    assert substitute(text, {"python:3.12": OTHER}).text == expected


def test_what_was_replaced_is_told():
    text = "ARG V=3.12\nFROM python:${V} AS a\nFROM node:22\nCOPY --from=a / /\nCOPY --from=tool:1 / /\n"
    done = substitute(text, {"python:3.12": OTHER, "tool:1": "mine"})
    assert done.substitutions == (Substitution("python:3.12", OTHER, 2), Substitution("tool:1", "mine", 5))
    assert done.text == f"ARG V=3.12\nFROM {OTHER} AS a\nFROM node:22\nCOPY --from=a / /\nCOPY --from=mine / /\n"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("python", "python:latest", True),
        ("python", "library/python", True),
        ("index.docker.io/library/python:1", "python:1", True),
        ("docker.io/me/app:1", "me/app:1", True),
        ("registry.example:5000/app", "registry.example:5000/app:latest", True),
        ("python:3.12", "python:3.13", False),
        ("python", "python:3.12", False),
        ("registry.example/python:1", "python:1", False),
        ("me/python:1", "python:1", False),
        ("python:1@sha256:ab", "python:1@sha256:cd", False),
    ],
)
def test_names_of_one_image(one, other, same):
    if same:
        assert substitute(f"FROM {one}\n", {other: "x"}).text == "FROM x\n"
    else:
        with pytest.raises(LabError, match="does not need"):
            substitute(f"FROM {one}\n", {other: "x"})


def test_an_image_that_is_not_needed():
    with pytest.raises(LabError, match=r"does not need the image pyton") as error:
        substitute("FROM python:3.12 AS a\nFROM a\nCOPY --from=b:1 / /\n", {"pyton": OTHER})
    assert error.value.do == "It needs python:3.12, b:1."


def test_nothing_to_replace():
    text = "FROM a\n\n\nCMD x"
    assert substitute(text, {}) == Substituted(text, ())


# --- the line above all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=docker/dockerfile:1\nFROM a\n", "#\nFROM a\n"),
        ("#Syntax = docker/dockerfile:1 \r\nFROM a\r\n", "#\r\nFROM a\r\n"),
        ("# syntax=docker/dockerfile:1\n# escape=`\nRUN `\n x\n", "# escape=`\n#\nRUN `\n x\n"),
        ("# escape=`\n# syntax=docker/dockerfile:1\n\nFROM a\n", "# escape=`\n#\n\nFROM a\n"),
        ("#!/usr/bin/env x\n# syntax=docker/dockerfile:1\nFROM a\n", "#!/usr/bin/env x\n#\nFROM a\n"),
    ],
)
def test_the_syntax_line_goes_and_no_other_line_moves(text, expected):
    done = substitute(text, {})
    assert done.text == expected
    assert len(done.text.splitlines()) == len(text.splitlines())
    image, line = syntax(text)
    assert done.substitutions == (Substitution(image, BUILT_IN, line),)
    assert syntax(done.text) is None
    assert substitute(text, {}, keep_syntax=True) == Substituted(text, ())


@pytest.mark.parametrize(
    "text", ["FROM a\n# syntax=x\n", "# a comment\n# syntax=x\nFROM a\n", "\n# syntax=x\nFROM a\n"]
)
def test_a_comment_is_no_syntax_line(text):
    assert syntax(text) is None
    assert substitute(text, {}).text == text


# --- by build arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG BASE_IMAGE=python:3.13\nFROM ${BASE_IMAGE}\n", (Substitution("python:3.13", OTHER, 2),)),
        ("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n", ()),
        (f"ARG BASE_IMAGE={OTHER}\nFROM ${{BASE_IMAGE}}\n", ()),
        ("FROM python:3.13\nARG BASE_IMAGE=x\n", ()),
        ("ARG BASE_IMAGE=a\nFROM $BASE_IMAGE AS b\nFROM b\nCOPY --from=c / /\n", (Substitution("a", OTHER, 2),)),
    ],
)
def test_an_argument_that_the_lab_passes(text, expected):
    assert by_build_args(text, {"BASE_IMAGE": OTHER}) == expected


def test_the_sample_app(pytestconfig):
    text = (pytestconfig.rootpath / "sample_app" / "Dockerfile").read_text(encoding="utf-8")
    assert [text[use.start : use.end] for use in images(text)] == ["${BASE_IMAGE}"]
