"""The text of the builders that are not BuildKit becomes the same steps."""

import pytest
from dockerlab.build import dockerfile
from dockerlab.build.classic_builder import ClassicText

DOCKERFILE = """\
ARG BASE=a
FROM ${BASE} AS build
WORKDIR /code
COPY r.txt  .
ENV A=1
RUN echo hi
CMD ["sleep", "9"]
"""

# Docker Engine 26.1.5, `version=1`.
CLASSIC = [
    "Step 1/8 : ARG BASE=a",
    "\n",
    "Step 2/8 : FROM ${BASE} AS build",
    "\n",
    " ---> 148090c9584e\n",
    "Step 3/8 : WORKDIR /code",
    "\n",
    " ---> Using cache\n",
    " ---> 7d9495d03763\n",
    "Step 4/8 : COPY r.txt  .",
    "\n",
    " ---> 3f1f7c8d2a55\n",
    "Step 5/8 : ENV A=1",
    "\n",
    " ---> Running in 68179abb2d6c\n",
    " ---> Removed intermediate container 68179abb2d6c\n",
    " ---> 0d0d0d0d0d0d\n",
    "Step 6/8 : RUN echo hi",
    "\n",
    " ---> Running in b453dabbc11f\n",
    "hi\n",
    "\x1b[91mto std",
    "err\n\x1b[0m",
    " ---> Removed intermediate container b453dabbc11f\n",
    " ---> 9be3f7d3ad10\n",
    'Step 7/8 : CMD ["sleep", "9"]',
    "\n",
    " ---> Running in 5be3f7d3ad10\n",
    " ---> Removed intermediate container 5be3f7d3ad10\n",
    " ---> 1111111111aa\n",
    "Step 8/8 : LABEL dev.dockerlab.lab=0a1b2c3d",
    "\n",
    " ---> Running in 6be3f7d3ad10\n",
    " ---> Removed intermediate container 6be3f7d3ad10\n",
    " ---> 2222222222bb\n",
    "Successfully built 2222222222bb\n",
    "Successfully tagged dockerlab/0a1b2c3d:app\n",
]

# Podman 4.3.1, as its compatible API sends it for `version=2`. None runs where this is tested: this is a record.
PODMAN = [
    "STEP 1/7: FROM docker.io/library/a AS build\n",
    "STEP 2/7: WORKDIR /code\n",
    "--> Using cache 3202253289f61ba467b18b636bdd05f123048f5d7a3619dba6a6f66697b8e544\n",
    "--> 3202253289f\n",
    "STEP 3/7: COPY r.txt  .\n",
    "--> 7634f9f56ce\n",
    "STEP 4/7: ENV A=1\n",
    "--> 291812a5d15\n",
    "STEP 5/7: RUN echo hi\n",
    "to stderr\n",
    "hi\nno newline",
    "\n--> 74f2b0c4f14\n",
    'STEP 6/7: CMD ["sleep", "9"]\n',
    "--> cc0d10f79ca\n",
    'STEP 7/7: LABEL "dev.dockerlab.lab"="0a1b2c3d"\n',
    "COMMIT dockerlab/0a1b2c3d:app\n",
    "--> 0832e99e0e6\n",
    "Successfully tagged docker.io/dockerlab/0a1b2c3d:app\n",
    "0832e99e0e681a8c2fbe1834fc3b8e3f9dd83bcdaeb4c5fab7770a4fc5bc0d7e\n",
    "Successfully built 0832e99e0e68\n",
    "Successfully tagged dockerlab/0a1b2c3d:app\n",
]

# The same, with two stages.
PODMAN_STAGES = [
    "[1/2] STEP 1/2: FROM docker.io/library/a AS build\n",
    "[1/2] STEP 2/2: RUN compile\n",
    "--> 74f2b0c4f14\n",
    "[2/2] STEP 1/3: FROM docker.io/library/a\n",
    "[2/2] STEP 2/3: COPY --from=build /x /x\n",
    "--> Using cache cf881ad5283c0082f7cf99658a62cbe458b701dbcc9993204cd4df5d0859ce7c\n",
    "--> cf881ad5283\n",
    '[2/2] STEP 3/3: LABEL "dev.dockerlab.lab"="0a1b2c3d"\n',
    "[2/2] COMMIT dockerlab/0a1b2c3d:app\n",
    "--> 0832e99e0e6\n",
    "Successfully built 0832e99e0e68\n",
]


def read(pieces, text=DOCKERFILE):
    builder = ClassicText(dockerfile.parse(text))
    for piece in pieces:
        builder.add(piece)
    return builder


def states(builder):
    return [(step.instruction, step.state) for step in builder.steps()]


@pytest.mark.parametrize("pieces", [CLASSIC, PODMAN], ids=["classic", "podman"])
def test_the_steps_are_those_that_buildkit_tells(pieces):
    assert states(read(pieces)) == [
        ("FROM ${BASE} AS build", "cached"),
        ("WORKDIR /code", "cached"),
        ("COPY r.txt .", "built"),
        ("RUN echo hi", "built"),
    ]


@pytest.mark.parametrize("pieces", [CLASSIC, PODMAN], ids=["classic", "podman"])
def test_text_that_comes_in_other_pieces_is_read_the_same(pieces):
    text = "".join(pieces)
    assert states(read([text])) == states(read(pieces))
    assert states(read(text)) == states(read(pieces))  # one character at a time


def test_a_log_belongs_to_its_step():
    assert read(CLASSIC).steps()[-1].log == "hi\nto stderr\n"
    assert read(PODMAN).steps()[-1].log == "to stderr\nhi\nno newline\n"
    assert [step.log for step in read(PODMAN).steps()[:-1]] == ["", "", ""]


def test_the_image_and_what_was_made_on_the_way_are_known():
    assert read(CLASSIC).image == "2222222222bb"
    assert read(CLASSIC[:24]).made == ["3f1f7c8d2a55", "0d0d0d0d0d0d"]
    assert read(CLASSIC[:24]).image == ""
    assert read(PODMAN).image == "0832e99e0e68"
    assert read(PODMAN[:9]).made == ["7634f9f56ce", "291812a5d15"]


def test_podman_counts_the_steps_of_each_stage():
    text = "ARG B\nFROM ${B} AS build\nRUN compile\nFROM ${B}\nCOPY --from=build /x /x\n"
    assert states(read(PODMAN_STAGES, text)) == [
        ("FROM ${B} AS build", "cached"),
        ("RUN compile", "built"),
        ("FROM ${B}", "cached"),
        ("COPY --from=build /x /x", "cached"),
    ]


def test_a_step_is_running_until_the_next_begins():
    assert states(read(CLASSIC[:15]))[-1] == ("COPY r.txt .", "built")
    assert states(read(CLASSIC[:20]))[-1] == ("RUN echo hi", "running")


def test_the_last_step_is_done_when_the_image_is_built():
    assert states(read(["Step 1/1 : FROM b\n", "Successfully built 2222222222bb\n"]))[-1] == ("FROM b", "cached")


def test_an_error_belongs_to_the_step_that_was_carried_out():
    builder = read(CLASSIC[:21])
    builder.fail("The command '/bin/sh -c echo hi' returned a non-zero code: 3")
    failed = builder.steps()[-1]
    assert (failed.instruction, failed.state, failed.log) == ("RUN echo hi", "failed", "hi\n")
    assert failed.error.endswith("3")


def test_an_error_before_the_first_step_belongs_to_none():
    builder = read([])
    builder.fail("no")
    assert builder.steps() == []


def test_an_instruction_that_we_did_not_find_is_told_as_printed():
    assert states(read(["Step 1/1 : run x\n", "Step 2/2 : FROM b\n"], text="")) == [
        ("RUN x", "built"),
        ("FROM b", "running"),
    ]
