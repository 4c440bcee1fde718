"""What an image holds by layer, what a build secret leaves in it, and how soon it answers: on the engine that is there.

That a build argument and a deleted file are found, and what an earlier stage holds is not, lesson 08 claims of the same
function.
"""

import pytest
from dockerlab.build.builder import build
from dockerlab.build.secret_build import build_with_secrets, builder_with_secrets
from dockerlab.errors import AppCrashed, BuildFailed, LabError
from dockerlab.image.contents import content, first_answer, has_file, leaks
from dockerlab.lab import build_cache, ledger
from dockerlab.run.container import serve
from dockerlab.run.stop import stop
from lesson_files import SAMPLE_APP

BEGIN = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"


@pytest.fixture
def token(lab):
    return f"token-of-{lab.id}"


def project(folder, dockerfile, **files):
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


# --- content ---


def test_the_layers_of_the_base_are_told_from_those_that_were_added(lab, sample):
    held = content(lab, sample)
    assert [layer.instruction.split()[0] for layer in held.layers if not layer.from_base and layer.size_bytes] == [
        "COPY",
        "RUN",
        "COPY",
    ]
    assert held.base_bytes == content(lab, lab.base_image).size_bytes > held.added_bytes > 10_000_000
    assert content(lab, lab.base_image).added_bytes == 0


def test_an_added_file_counts_with_its_size_and_a_note_with_none(lab, tmp_path):
    folder = project(tmp_path / "p", f"{BEGIN}COPY large.txt /large.txt\nUSER 10001\n", large="x" * 1_000_000)
    held = content(lab, build(lab, folder, progress=False))
    added = {layer.instruction: layer.size_bytes for layer in held.layers if not layer.from_base}
    assert added["USER 10001"] == 0
    assert added["COPY large.txt /large.txt"] == pytest.approx(1_000_000, rel=0.1)


def test_an_image_on_another_base_has_no_layer_of_the_labs(lab, tmp_path):
    built = build(lab, project(tmp_path / "p", "FROM scratch\nCOPY a.txt /a.txt\n", a="a"), progress=False)
    assert not any(layer.from_base for layer in content(lab, built).layers)


def test_an_image_that_is_not_there_is_missed(lab):
    asks = (
        lambda tag: content(lab, tag),
        lambda tag: leaks(lab, tag, "a-secret"),
        lambda tag: has_file(lab, tag, "/a.txt"),
    )
    for ask in asks:
        with pytest.raises(LabError, match="There is no image dockerlab/none:none"):
            ask("dockerlab/none:none")


def test_a_container_shows_what_no_later_layer_has_deleted(lab, tmp_path):
    folder = project(tmp_path / "p", f"{BEGIN}COPY . /code/\nRUN rm /code/b.txt\n", a="a", b="b")
    built = build(lab, folder, progress=False)
    assert has_file(lab, built, "/code/a.txt")
    assert not has_file(lab, built, "/code/b.txt")
    assert not has_file(lab, built.image, "/code/none/c.txt")
    assert lab.client.containers.list(all=True, filters={"ancestor": built.image}) == []


# --- build secrets ---


def test_a_build_secret_reaches_the_command_and_not_the_image(lab, tmp_path, token):
    assert builder_with_secrets(lab), "the engine of the tests comes with a command line that can"
    command = f"RUN --mount=type=secret,id=t wc -c < /run/secrets/t > /length # {lab.id}"
    folder = project(tmp_path / "p", f"{BEGIN}{command}\n")
    before = build_cache.descriptions(lab.client).keys()
    tag = build_with_secrets(lab, folder, {"t": token}, name="secret")
    length = lab.client.containers.run(tag, ["cat", "/length"], remove=True, labels=lab.labels)
    assert int(length) == len(token)
    assert leaks(lab, tag, token) == ()
    assert lab.client.images.get(tag).labels.items() >= lab.labels.items(), "clean-up would not find it"
    made = {id_ for id_, text in build_cache.descriptions(lab.client).items() if id_ not in before and lab.id in text}
    with ledger.opened(lab.client) as noted:
        assert made <= noted
    assert made


def test_a_build_with_a_secret_that_fails_tells_why(lab, tmp_path):
    folder = project(tmp_path / "p", f"{BEGIN}RUN echo the-reason && false\n")
    with pytest.raises(BuildFailed, match="ended with exit code 1") as failed:
        build_with_secrets(lab, folder, {}, name="fails")
    assert "the-reason" in failed.value.log


def test_a_build_with_a_secret_that_takes_too_long_is_ended(lab, tmp_path):
    folder = project(tmp_path / "p", f"{BEGIN}RUN sleep 60 # {lab.id}\n")
    with pytest.raises(BuildFailed, match="not finish within 1 s"):
        build_with_secrets(lab, folder, {}, name="slow", timeout=1)


def test_a_secret_that_is_not_lent_is_missed(lab, tmp_path):
    folder = project(tmp_path / "p", f"{BEGIN}RUN --mount=type=secret,id=other,required=true true # {lab.id}\n")
    with pytest.raises(BuildFailed, match="exit code") as failed:
        build_with_secrets(lab, folder, {"token": "a-secret"}, name="missed")
    assert "other" in failed.value.log


# --- the first answer ---


def test_a_start_lasts_until_the_answer(lab, sample):
    """That the slower of two takes longer, lesson 08 tells of two real images."""
    command = ["sh", "-c", "sleep 2; exec python3 -m http.server 80"]
    assert first_answer(lab, {"late": sample}, rounds=1, command=command)["late"] > 2


def test_an_image_that_never_answers_is_told_and_nothing_of_it_stays(lab, sample):
    with pytest.raises(AppCrashed, match="exit code 3"):
        first_answer(lab, {"broken": sample}, rounds=1, command=["sh", "-c", "exit 3"])
    assert lab.client.containers.list(all=True, filters={"label": f"dev.dockerlab.lab={lab.id}"}) == []


# --- the sample app's production image ---


@pytest.mark.prove  # lesson 08 tells it of the same Dockerfile; here, it is the committed lock file, too
def test_the_production_image_is_what_the_lesson_says(lab, sample, tmp_path):
    built = build(lab, SAMPLE_APP, dockerfile="Dockerfile.production", name="production", progress=False)
    assert content(lab, built).added_bytes < content(lab, sample).added_bytes
    settings = lab.client.images.get(built.image).attrs["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    hardened = {"read_only": True, "tmpfs": {"/tmp": ""}, "cap_drop": ["ALL"]}
    with serve(lab, built, name="hardened", **hardened) as service:
        assert service.container.exec_run(settings["Healthcheck"]["Test"][1:])[0] == 0
        stopped = stop(service, grace=30)
    assert (stopped.exit_code, stopped.shutdown_ran) == (0, True)
    with serve(lab, built, name="nothing", port=None, command=["sleep", "60"]) as service:
        assert service.container.exec_run(settings["Healthcheck"]["Test"][1:])[0] != 0
