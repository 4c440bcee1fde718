"""What Podman prints becomes the same steps as BuildKit's messages."""

from dockerlab.build import dockerfile
from dockerlab.build.podman_output import PodmanOutput

DOCKERFILE = """\
ARG BASE=a
FROM ${BASE} AS build
WORKDIR /code
COPY r.txt  .
ENV A=1
RUN echo hi
CMD ["sleep", "9"]
"""

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
    output = PodmanOutput(dockerfile.parse(text))
    for piece in pieces:
        output.add(piece)
    return output


def states(output):
    return [(step.instruction, step.state) for step in output.steps()]


def test_the_steps_are_those_that_buildkit_tells():
    assert states(read(PODMAN)) == [
        ("FROM ${BASE} AS build", "cached"),
        ("WORKDIR /code", "cached"),
        ("COPY r.txt .", "built"),
        ("RUN echo hi", "built"),
    ]


def test_text_that_comes_in_other_pieces_is_read_the_same():
    text = "".join(PODMAN)
    assert states(read([text])) == states(read(PODMAN))
    assert states(read(text)) == states(read(PODMAN))  # one character at a time


def test_a_log_belongs_to_its_step():
    assert [step.log for step in read(PODMAN).steps()] == ["", "", "", "to stderr\nhi\nno newline\n"]
    (colored,) = read(["STEP 1/2: RUN x\n", "\x1b[91mto std", "err\r\n\x1b[0m"]).steps()
    assert colored.log == "to stderr\n"


def test_the_image_and_what_was_made_on_the_way_are_known():
    assert read(PODMAN).image == "0832e99e0e68"
    assert read(PODMAN[:9]).image == ""
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
    assert states(read(PODMAN[:7]))[-1] == ("COPY r.txt .", "built")
    assert states(read(PODMAN[:10]))[-1] == ("RUN echo hi", "running")


def test_the_last_step_is_done_when_the_image_is_built():
    output = read(["STEP 1/1: FROM b\n", "Successfully built 2222222222bb\n"], text="FROM b\n")
    assert states(output) == [("FROM b", "cached")]


def test_an_error_belongs_to_the_step_that_was_executed():
    output = read(PODMAN[:10])
    output.fail('building at STEP "RUN echo hi": while running runtime: exit status 3')
    failed = output.steps()[-1]
    assert (failed.instruction, failed.state, failed.log) == ("RUN echo hi", "failed", "to stderr\n")
    assert failed.error.endswith("3")


def test_an_error_before_the_first_step_belongs_to_none():
    output = read([])
    output.fail("no")
    assert output.steps() == []


def test_an_instruction_that_we_did_not_find_is_told_as_printed():
    assert states(read(["STEP 1/2: run x\n", "STEP 2/2: FROM b\n"], text="")) == [
        ("RUN x", "built"),
        ("FROM b", "running"),
    ]
