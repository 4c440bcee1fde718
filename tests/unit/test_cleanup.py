"""What is the laboratory's on an engine, by labels and by its own exact names; what only inherited a label is not."""

from types import SimpleNamespace

import pytest
from dockerlab import labels
from dockerlab.lab import cleanup, ledger

LAB = {labels.LAB: "0123abcd"}
BASE = {labels.BASE: "1"}


def image(*tags: str, given=LAB, id_="sha256:1", digests=()):
    return {"Id": id_, "RepoTags": list(tags), "RepoDigests": list(digests), "Labels": given}


class PlayedApi:
    """An engine that lists what a test gives it, and keeps note of what is removed."""

    def __init__(self, *images, containers=()):
        self.listed = images
        self.running = containers
        self.removed = []

    def images(self, filters):
        name = filters["label"].partition("=")[0]
        return [image for image in self.listed if name in (image["Labels"] or {})]

    def containers(self, all, filters):
        return [container for container in self.running if filters["label"] in container["Labels"]]

    def networks(self, filters):
        return []

    def volumes(self, filters):
        return {"Volumes": None}

    def remove_image(self, name, force):
        self.removed.append(name)

    def remove_container(self, id_, v, force):
        self.removed.append(id_)


@pytest.fixture
def cleaned(monkeypatch):
    """What `dockerlab clean` removes."""
    monkeypatch.setattr(ledger, "prune", lambda *_, **__: None)

    def removed(*images, containers=()):
        api = PlayedApi(*images, containers=containers)
        cleanup.clean(SimpleNamespace(api=api))
        return api.removed

    return removed


@pytest.mark.parametrize(
    "theirs",
    [
        "dockerlab-mine:latest",
        "dockerlab/mine:1",
        "dockerlab/0123abcde:app",
        "dockerlab/0123abc:app",
        "dockerlab/ffffffff:app",
        "dockerlab:0123abcd",
        "registry.example/dockerlab/0123abcd:app",
        "dockerlab/base:mine",  # with a lab's label, and not the one of a base image
        "dockerlab/base-mine:1",
    ],
)
def test_a_prefix_is_no_label(cleaned, theirs):
    assert cleaned(image(theirs)) == []
    assert cleaned(image("dockerlab/0123abcd:app", theirs)) == ["dockerlab/0123abcd:app"]


def test_base_images_and_the_hub_s_are_removed_by_their_own_names(cleaned):
    hub = {labels.LAB: "hub"}
    listed = [
        image("dockerlab/base:trixie", "mine:1", given=BASE),
        image("dockerlab/hub:learner", given=hub | BASE),
        image("mine:2", given=BASE),
        image("dockerlab/base-mine:1", given=BASE),
        image(given=BASE),  # made from a base image, and no lab's
    ]
    assert cleaned(*listed) == ["dockerlab/hub:learner", "dockerlab/base:trixie"]


@pytest.mark.parametrize(
    ("tags", "digests"),
    [
        (None, None),
        ([], []),
        (["<none>:<none>"], ["<none>@<none>"]),
        (["<none>:<none>"], None),
        ([], ["<none>@<none>"]),
    ],
)
def test_an_image_without_a_name_is_removed_by_its_id(cleaned, tags, digests):
    untagged = {"Id": "sha256:2", "RepoTags": tags, "RepoDigests": digests, "Labels": LAB}
    assert cleaned(untagged) == ["sha256:2"]


def test_an_image_that_the_reader_has_by_its_digest_is_theirs(cleaned):
    assert cleaned(image("<none>:<none>", digests=["registry.example/mine@sha256:3"])) == []


@pytest.mark.parametrize(
    ("tags", "started_from", "given", "is_ours"),
    [
        (["dockerlab-mine:latest"], "dockerlab-mine", LAB, False),
        (["mine:1"], "mine:1", LAB, False),
        (["mine:1"], "sha256:1", LAB, False),
        (["mine:1", "dockerlab/0123abcd:app"], "mine:1", LAB, False),
        (["mine:latest", "dockerlab/0123abcd:app"], "mine", LAB, False),
        (["mine:1", "dockerlab/0123abcd:app"], "dockerlab/0123abcd:app", LAB, True),
        (["dockerlab/0123abcd:app"], "sha256:1", LAB, True),
        ([], "sha256:1", LAB, True),
        (["mine:1"], "mine:1", {labels.LAB: "ffffffff"}, True),  # given by a lab, and not inherited
    ],
)
def test_a_container_of_the_readers_own_image_has_only_inherited_its_label(cleaned, tags, started_from, given, is_ours):
    container = {"Id": "c", "Names": ["/c"], "Image": started_from, "ImageID": "sha256:1", "Labels": given}
    assert ("c" in cleaned(image(*tags), containers=[container])) == is_ours


def test_a_container_that_a_lab_started_from_another_image_is_ours(cleaned):
    container = {"Id": "c", "Names": ["/c"], "Image": "python:3.13", "ImageID": "sha256:9", "Labels": LAB}
    assert cleaned(containers=[container]) == ["c"]


def test_an_image_that_loses_its_name_while_a_lab_is_removed_goes_too(monkeypatch):
    """A build that is broken off gives the name to another image: that one is removed by it, and the first is left."""
    monkeypatch.setattr(ledger, "prune", lambda *_, **__: None)
    api = PlayedApi(image("dockerlab/0123abcd:audit", id_="sha256:1"))

    def remove_image(name, force):
        api.removed.append(name)
        api.listed = () if name == "sha256:1" else (image(id_="sha256:1"),)

    api.remove_image = remove_image
    assert cleanup.remove_lab(SimpleNamespace(api=api), "0123abcd") == []
    assert api.removed == ["dockerlab/0123abcd:audit", "sha256:1"]


@pytest.mark.parametrize("name", ["web-0123abcd:latest", "two-words-0123abcd:latest"])
def test_an_image_that_a_lesson_s_typed_command_has_named_is_ours(cleaned, name):
    assert cleaned(image(name)) == [name]


@pytest.mark.parametrize("name", ["web-0123abcd:2", "ada/web-0123abcd:latest", "web-0123abcde:latest", "web:0123abcd"])
def test_an_image_with_another_form_of_name_is_not(cleaned, name):
    assert cleaned(image(name)) == []


def test_what_a_typed_command_made_lives_as_long_as_its_lab():
    """It names no owner; the volume of its lab does."""

    def item(lab, owner=None):
        return cleanup.Labeled("volume", "", "", {labels.LAB: lab} | ({labels.OWNER: owner} if owner else {}))

    gone = f"{labels.Owner.current().host}/{2**31 - 1}/0"
    living, dead = item("0123abcd", str(labels.Owner.current())), item("ffffffff", gone)
    typed = {lab: item(lab) for lab in ("0123abcd", "ffffffff", "11111111", "hub")}
    left = cleanup.dead([living, dead, *typed.values()])
    assert left == [dead, typed["ffffffff"], typed["11111111"]]


PROJECT = "com.docker.compose.project"


@pytest.mark.parametrize(
    ("project", "known", "is_ours"),
    [
        ("shop-0123abcd", "0123abcd", True),
        ("shop-0123abcd", "", False),  # somebody else's: a project may be named after a commit
        ("shop-0123abcd", "ffffffff", False),
        ("0123abcd-shop", "0123abcd", False),
        ("shop-hub", "hub", False),
    ],
)
def test_what_compose_made_for_a_lab_is_ours_and_no_other_project(cleaned, project, known, is_ours):
    given = {PROJECT: project}
    container = {"Id": "c", "Names": ["/c"], "Image": "web", "ImageID": "sha256:9", "Labels": given}
    marked = [image(f"dockerlab/{known}:app", given={labels.LAB: known})] if known else []
    listed = [*marked, image(f"{project}-web:latest", "mine:1", given=given), image(given=given, id_="sha256:2")]
    ours = ["c", f"{project}-web:latest", "sha256:2"] if is_ours else []
    assert cleaned(*listed, containers=[container]) == [*ours, *(f"dockerlab/{known}:app" for _ in marked)]


def test_what_compose_made_is_found_when_nothing_else_of_its_lab_is_left(monkeypatch):
    monkeypatch.setattr(ledger, "prune", lambda *_, **__: None)
    api = PlayedApi(image("shop-0123abcd-web:latest", given={PROJECT: "shop-0123abcd"}))
    cleanup.remove_lab(SimpleNamespace(api=api), "0123abcd")
    assert "shop-0123abcd-web:latest" in api.removed
