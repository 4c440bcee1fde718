"""What lessons install, read from the lessons, and how a kit is put together from it."""

import json
import tarfile

import pytest
from dockerlab import folders
from dockerlab.engine import portable
from dockerlab.errors import LabError
from dockerlab_kit import lab_packages, lab_source, making, needs

ROOT = folders.NOTEBOOKS.parent


def test_what_the_lessons_of_today_install():
    texts = list(needs.texts(ROOT))
    pins = needs.pins(texts)
    assert {"fastapi[standard]==0.165.0", "uvicorn[standard]==0.54.0", "itsdangerous==2.2.0"} <= pins
    assert needs.sources(texts) == {"itsdangerous"}
    assert {"nginx", "docker.io"} <= needs.packages(texts)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fastapi[standard]==0.165.0\nuvicorn==0.54.0\n", {"fastapi[standard]==0.165.0", "uvicorn==0.54.0"}),
        ('"fastapi==0.165.0\\nuvicorn==0.54.0\\n"', {"fastapi==0.165.0", "uvicorn==0.54.0"}),
        ("if version==3: pass", set()),
        ("anyio==4.16.0 \\\n    --hash=sha256:00", {"anyio==4.16.0"}),
        ("RUN pip install uv==0.13.9.", {"uv==0.13.9"}),
    ],
)
def test_pins(text, found):
    assert needs.pins([text]) - {"version==3"} == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "RUN apt-get update \\\n    && apt-get install --yes --no-install-recommends nginx \\\n    && rm x",
            {"nginx"},
        ),
        ("RUN apt-get install -y docker.io iptables runc && true", {"docker.io", "iptables", "runc"}),
        ("RUN apt-get -q install -y g++ libstdc++6\nRUN echo tini", {"g++", "libstdc++6"}),
        ("`apt-get update`", set()),
    ],
)
def test_packages(text, found):
    assert needs.packages([text]) == found


def test_two_versions_of_a_package_are_two_rounds():
    rounds = needs.rounds({"a==1", "a==2", "a[x]==2", "b_c==1", "b-c==1"})
    assert rounds == [["a==2", "a[x]==2", "b-c==1", "b_c==1"], ["a==1"]]


def test_what_the_lab_is_made_of():
    wanted = lab_packages.requirements(ROOT, "3.11")
    assert all("==" in line for line in wanted if line not in {"pip", "editables~=0.5"})
    assert not [line for line in wanted if ";" in line or line.startswith(("-", "pywin32", "appnope"))]
    assert [line for line in wanted if line.startswith("uv==")]
    assert [line for line in wanted if line.startswith("hatchling==")]
    assert set(wanted) ^ set(lab_packages.requirements(ROOT, "3.13")), "no pin depends on the Python any more"


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(LabError, match=r"mine\.txt, which does not belong to a kit"):
        making.make(tmp_path, None)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["mine.txt", "wheels/mine.txt", "kit.json"])
def test_a_kit_with_something_else_in_it_is_left_alone(kit, name):
    (kit / name).write_text("{}")
    if name == "kit.json":  # of something else: there are no checksums
        (kit / portable.SUMS).unlink()
    with pytest.raises(LabError, match="which does not belong to a kit"):
        making.make(kit, None)
    assert (kit / name).read_text() == "{}"


def test_nothing_is_left_of_an_attempt_that_fails(tmp_path):
    with pytest.raises(AttributeError):
        making.make(tmp_path / "kit", None)
    assert list(tmp_path.iterdir()) == []


def test_the_lab_is_in_it(tmp_path):
    lab_source.pack(ROOT, tmp_path / "lab.tar.gz")
    with tarfile.open(tmp_path / "lab.tar.gz") as tar:
        names = set(tar.getnames())
    assert {"dockerlab/Makefile", "dockerlab/notebooks/00_start_here.ipynb"} <= names
    assert not [name for name in names if ".venv" in name or "__pycache__" in name]


def test_each_file_has_its_checksum_and_its_size(kit):
    sums, about = portable.read(kit)
    files = {path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file()}
    assert {*sums, portable.SUMS} == files
    assert about["files"] == {name: (kit / name).stat().st_size for name in files - {portable.SUMS, portable.ABOUT}}
    assert json.loads((kit / "kit.json").read_text()) == about
