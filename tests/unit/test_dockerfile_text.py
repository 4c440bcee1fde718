"""Each instruction is found where it stands, however it is written."""

import pytest
from dockerlab.build.dockerfile_text import read, replace


def keywords(text):
    return [each.keyword for each in read(text).instructions]


def test_lines_and_places():
    text = "# a comment\n\nfrom python:3.13 as base\nRUN one \\\n  # within\n\n  two\nCMD x\n"
    first, run, cmd = read(text).instructions
    assert (first.keyword, first.line, first.stage) == ("FROM", 3, 0)
    assert (run.line, cmd.line) == (4, 8)
    assert text[run.start : run.end] == "RUN one \\\n  # within\n\n  two\n"
    assert text[cmd.start : cmd.end] == "CMD x\n"
    assert run.arguments.split() == ["one", "two"]
    assert [each.is_plain for each in (first, run, cmd)] == [True, False, True]


def test_each_word_is_found_in_the_text():
    text = "FROM --platform=linux/amd64 \\\n\tpython:3.13 AS base\nRUN echo wo\\\nrd\n"
    from_, run = read(text).instructions
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
    source = read(text)
    rest = replace(text, [(each.start, each.end, "") for each in source.instructions])
    assert rest == "# syntax=x\n# c\n\n# d\n"


def test_directives():
    source = read(
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
    source = read("ARG X\nFROM a\nRUN a\nFROM b\nRUN b\n")
    assert [each.stage for each in source.instructions] == [-1, 0, 0, 1, 1]
    assert source.stages == ("", "")
    assert [each.arguments for each in source.in_stage(1)] == ["b", "b"]


@pytest.mark.parametrize(
    ("target", "number"),
    [(None, 3), ("a", 2), ("A", 2), ("1", 1), ("0", 0), ("3", 3), ("4", None), ("x", None), ("", None)],
)
def test_the_stage_that_is_meant(target, number):
    source = read("FROM x AS a\nFROM x AS b\nFROM --platform=p x as A\nFROM x\n")
    assert source.stages == ("a", "b", "a", "")
    assert source.stage(target) == number


def test_there_are_no_stages():
    assert read("ARG X\n").stage() is None


def test_the_line_end_of_the_file():
    assert read("FROM a\r\nCMD b\r\n").line_end == "\r\n"
    assert read("FROM a\nCMD b\n").line_end == "\n"
    assert read("FROM a").line_end == "\n"


def test_replace():
    assert replace("abcdef", [(0, 1, "X"), (4, 6, ""), (2, 2, "-")]) == "Xb-cd"
