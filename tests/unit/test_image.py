"""What the text of a history means, and where a secret is in an image that was saved: from archives made here."""

import gzip
import io
import json
import tarfile

import pytest
import zstandard
from dockerlab.errors import LabError
from dockerlab.image import found_in, instruction, leaks
from dockerlab.records import ImageContent, ImageLayer, Leak

SECRET = "token-4f2a9c"


@pytest.mark.parametrize(
    ("created_by", "expected"),
    [
        ("COPY ./app /code/app # buildkit", "COPY ./app /code/app"),
        ("RUN /bin/sh -c pip install uv # buildkit", "RUN pip install uv"),
        ("RUN |1 TOKEN=abc /bin/sh -c test -n x # buildkit", "RUN [TOKEN=abc] test -n x"),
        ("RUN |2 A=1 B=a b /bin/sh -c /bin/sh -c true # buildkit", "RUN [A=1 B=a b] /bin/sh -c true"),
        ("/bin/sh -c pip install uv", "RUN pip install uv"),
        ('/bin/sh -c #(nop)  CMD ["fastapi"]', 'CMD ["fastapi"]'),
        ("|1 TOKEN=abc /bin/sh -c test -n x", "RUN [TOKEN=abc] test -n x"),
        ("RUN /bin/sh -c a \\\n  && b # buildkit", "RUN a \\\n  && b"),
        ("WORKDIR /code", "WORKDIR /code"),
        ("", ""),
    ],
)
def test_an_instruction_is_read_from_the_history(created_by, expected):
    assert instruction(created_by) == expected


def archive(files):
    """A tar file with these files, by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def saved(layers, *, history=None, config=None, pack=lambda data: data):
    """An image as `docker save` writes it: each layer its files, by path; and who made each."""
    history = history or [{"created_by": f"COPY {number} # buildkit"} for number in range(len(layers))]
    settings = {
        "config": config or {},
        "history": history,
        "rootfs": {"diff_ids": [f"sha256:{number}" for number in range(len(layers))]},
    }
    names = [f"blobs/sha256/{number}" for number in range(len(layers))]
    members = {name: pack(archive(files)) for name, files in zip(names, layers, strict=True)}
    members["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    members["config.json"] = json.dumps(settings).encode()
    return tarfile.open(fileobj=io.BytesIO(archive(members)))


def found(image, base=()):
    return list(found_in(image, SECRET, base))


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["as it is", "gzip", "zstd"]
)
def test_a_file_with_the_secret_is_found_in_its_layer(pack):
    image = saved([{"etc/other": b"nothing"}, {"tmp/token.txt": b"a" * 10 + SECRET.encode()}], pack=pack)
    assert found(image) == [Leak("layer", "COPY 1", "/tmp/token.txt")]


@pytest.mark.parametrize("by", ["tmp/.wh.token.txt", ".wh.tmp", "tmp/.wh..wh..opq"])
def test_a_file_that_a_later_layer_deletes_is_found_all_the_same(by):
    image = saved([{"tmp/token.txt": SECRET.encode()}, {by: b""}])
    assert found(image) == [Leak("layer", "COPY 0", "/tmp/token.txt", deleted_later=True)]


def test_a_file_that_is_made_after_another_was_deleted_is_not_deleted():
    image = saved([{"tmp/.wh.token.txt": b""}, {"tmp/token.txt": SECRET.encode()}])
    assert [leak.deleted_later for leak in found(image)] == [False]


def test_a_name_that_only_begins_alike_is_not_deleted():
    image = saved([{"tmp/token.txt": SECRET.encode()}, {"tmp/.wh.tok": b""}])
    assert [leak.deleted_later for leak in found(image)] == [False]


def test_the_layers_of_the_base_are_left_out():
    image = saved([{"base": SECRET.encode()}, {"own": SECRET.encode()}])
    assert [leak.path for leak in found(image, base=["sha256:0"])] == ["/own"]
    assert [leak.path for leak in found(image, base=["sha256:other"])] == ["/base", "/own"]


def test_layers_are_told_apart_from_notes_in_the_history():
    history = [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "COPY token.txt /"}]
    assert [leak.instruction for leak in found(saved([{"token.txt": SECRET.encode()}], history=history))] == [
        "COPY token.txt /"
    ]


def test_history_variables_and_labels_are_read():
    history = [{"created_by": f"RUN |1 TOKEN={SECRET} /bin/sh -c true # buildkit", "empty_layer": True}]
    image = saved([], history=history, config={"Env": [f"TOKEN={SECRET}"], "Labels": {"note": f"{SECRET}!"}})
    assert found(image) == [
        Leak("history", f"RUN [TOKEN={SECRET}] true"),
        Leak("settings", "ENV TOKEN"),
        Leak("settings", "LABEL note"),
    ]


def test_a_secret_across_the_border_of_two_reads_is_found():
    begins = (1 << 20) - len(SECRET) // 2
    image = saved([{"large": b"\0" * begins + SECRET.encode() + b"\0" * 100}])
    assert [leak.path for leak in found(image)] == ["/large"]


def test_an_image_with_no_layers_and_no_settings_holds_nothing():
    assert found(saved([])) == []


def test_an_archive_that_is_no_image_is_refused():
    with (
        tarfile.open(fileobj=io.BytesIO(archive({"etc/passwd": b""}))) as no_image,
        pytest.raises(LabError, match=r"without manifest\.json"),
    ):
        found(no_image)


def test_a_secret_that_is_too_short_is_not_looked_for():
    with pytest.raises(LabError, match="A secret of 3 characters is found by chance"):
        leaks(None, "image", "abc")


def test_a_leak_says_where_it_is():
    assert str(Leak("layer", "COPY . /", "/token", True)) == "in the layer: /token, deleted in a later layer"
    assert str(Leak("history", "RUN [A=1] x")) == "in the history: RUN [A=1] x"


def test_a_content_is_summed_and_told_without_sizes():
    layers = (ImageLayer("", 100, True), ImageLayer("COPY ./app /code/app", 7), ImageLayer("CMD x", 0))
    content = ImageContent("page", layers)
    assert (content.base_bytes, content.added_bytes, content.size_bytes) == (100, 7, 107)
    assert repr(content) == "COPY ./app /code/app"
