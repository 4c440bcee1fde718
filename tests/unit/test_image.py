"""What the text of a history means, and where a secret is in an image that was saved: from archives made here."""

import contextlib
import gzip
import io
import itertools
import json
import tarfile
import threading
import time
import tracemalloc
from types import SimpleNamespace

import pytest
import zstandard
from dockerlab.audit import image_secrets
from dockerlab.errors import LabError
from dockerlab.image.archive import SavedImage, saved
from dockerlab.image.contents import found_in, instruction, leaks
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
    """A tar file with these files, by path; one that is a tuple is a link: of a type, to a path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                info.type, info.linkname = data
                tar.addfile(info)
                continue
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def opened(members):
    return SavedImage(tarfile.open(fileobj=io.BytesIO(archive(members))))


def image_of(layers, *, history=None, config=None, pack=lambda data: data):
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
    return opened(members)


def found(image, base=()):
    return list(found_in(image, SECRET, base))


def in_frames(data):
    """As engines that fetch parts of a layer alone pack it: each part is a frame of its own."""
    pack = zstandard.ZstdCompressor().compress
    return b"".join(pack(data[start : start + 300]) for start in range(0, len(data), 300))


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zstandard.ZstdCompressor().compress, in_frames],
    ids=["as it is", "gzip", "zstd", "zstd in frames"],
)
def test_a_file_with_the_secret_is_found_in_its_layer(pack):
    image = image_of([{"etc/other": b"nothing"}, {"tmp/token.txt": b"a" * 10 + SECRET.encode()}], pack=pack)
    assert found(image) == [Leak("layer", "COPY 1", "/tmp/token.txt")]


@pytest.mark.parametrize("by", ["tmp/.wh.token.txt", ".wh.tmp", "tmp/.wh..wh..opq"])
def test_a_file_that_a_later_layer_deletes_is_found_all_the_same(by):
    image = image_of([{"tmp/token.txt": SECRET.encode()}, {by: b""}])
    assert found(image) == [Leak("layer", "COPY 0", "/tmp/token.txt", deleted_later=True)]


def test_a_file_that_is_made_after_another_was_deleted_is_not_deleted():
    image = image_of([{"tmp/.wh.token.txt": b""}, {"tmp/token.txt": SECRET.encode()}])
    assert [leak.deleted_later for leak in found(image)] == [False]


def test_a_name_that_only_begins_alike_is_not_deleted():
    image = image_of([{"tmp/token.txt": SECRET.encode()}, {"tmp/.wh.tok": b""}])
    assert [leak.deleted_later for leak in found(image)] == [False]


def test_the_layers_of_the_base_are_left_out():
    image = image_of([{"base": SECRET.encode()}, {"own": SECRET.encode()}])
    assert [leak.path for leak in found(image, base=["sha256:0"])] == ["/own"]
    assert [leak.path for leak in found(image, base=["sha256:other"])] == ["/base", "/own"]


def test_layers_are_told_apart_from_notes_in_the_history():
    history = [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "COPY token.txt /"}]
    assert [leak.instruction for leak in found(image_of([{"token.txt": SECRET.encode()}], history=history))] == [
        "COPY token.txt /"
    ]


def test_history_variables_and_labels_are_read():
    history = [{"created_by": f"RUN |1 TOKEN={SECRET} /bin/sh -c true # buildkit", "empty_layer": True}]
    image = image_of([], history=history, config={"Env": [f"TOKEN={SECRET}"], "Labels": {"note": f"{SECRET}!"}})
    assert found(image) == [
        Leak("history", f"RUN [TOKEN={SECRET}] true"),
        Leak("settings", "ENV TOKEN"),
        Leak("settings", "LABEL note"),
    ]


def test_a_secret_across_the_border_of_two_reads_is_found():
    begins = (1 << 20) - len(SECRET) // 2
    image = image_of([{"large": b"\0" * begins + SECRET.encode() + b"\0" * 100}])
    assert [leak.path for leak in found(image)] == ["/large"]


def test_an_image_with_no_layers_and_no_settings_holds_nothing():
    assert found(image_of([])) == []


def test_an_archive_that_is_no_image_is_refused():
    with pytest.raises(LabError, match=r"without manifest\.json"):
        opened({"etc/passwd": b""})


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


# --- archives of other engines, and broken ones ----------------------------------------------------------------------

LAYER = archive({"app/.env": f"TOKEN={SECRET}\n".encode()})
OLDER = {
    "manifest.json": b'[{"Config": "config.json", "Layers": ["aa/layer.tar", "bb/layer.tar"]}]',
    "config.json": json.dumps(
        {"history": [{"created_by": "COPY 0"}, {"created_by": "COPY 1"}], "rootfs": {"diff_ids": ["0", "1"]}}
    ).encode(),
}
"""What engines before 25 write beside the layers."""

SHARED = {
    "a symlink": {"aa/layer.tar": LAYER, "bb/layer.tar": (tarfile.SYMTYPE, "../aa/layer.tar")},
    "a symlink to a later one": {"aa/layer.tar": (tarfile.SYMTYPE, "../bb/layer.tar"), "bb/layer.tar": LAYER},
    "a hard link": {"aa/layer.tar": LAYER, "bb/layer.tar": (tarfile.LNKTYPE, "aa/layer.tar")},
}

BROKEN = {
    "no tar": b"not a layer at all" * 100,
    "nothing": b"",
    "cut": LAYER[:700],
    "gzip that is cut": gzip.compress(LAYER)[:-12],
    "gzip with other bits": gzip.compress(LAYER)[:20] + b"\0" * 20 + gzip.compress(LAYER)[40:],
    "zstd that is none": b"\x28\xb5\x2f\xfd" + b"\xff" * 100,
    "zstd that is cut": zstandard.ZstdCompressor().compress(LAYER)[:-8],
    "a link to nothing": (tarfile.SYMTYPE, "../cc/layer.tar"),
    "a link to itself": (tarfile.SYMTYPE, "layer.tar"),
}


def lab_with(image):
    """A lab whose engine saves this image, in small pieces."""
    described = SimpleNamespace(attrs={"RootFS": {"Layers": ["0", "1"]}, "Config": {}}, history=list)
    api = SimpleNamespace(
        images=lambda: [],
        _url=lambda path, tag: path,
        _get=lambda path, stream: SimpleNamespace(
            iter_content=lambda size: (image[start : start + 500] for start in range(0, len(image), 500))
        ),
        _raise_for_status=lambda response: None,
    )
    images = SimpleNamespace(get=lambda tag: described)
    return SimpleNamespace(client=SimpleNamespace(api=api, images=images), base_image="base")


def audit(image, watch=lambda: ""):
    return image_secrets.read(lab_with(image), "image", SimpleNamespace(instructions=[]), watch)


@pytest.mark.parametrize("layers", SHARED.values(), ids=SHARED)
def test_a_layer_that_is_a_link_to_another_is_that_layer(layers):
    assert [leak.path for leak in found(opened(OLDER | layers))] == ["/app/.env", "/app/.env"]
    read = audit(archive(OLDER | layers))
    assert read.size_bytes == 2 * len(f"TOKEN={SECRET}\n")
    assert [secret.where for secret in read.secrets] == ["/app/.env"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress, in_frames])
def test_the_audit_reads_layers_that_are_packed(pack):
    layers = {"aa/layer.tar": pack(LAYER), "bb/layer.tar": LAYER}
    assert audit(archive(OLDER | layers)).size_bytes == 2 * len(f"TOKEN={SECRET}\n")


@pytest.mark.parametrize("layer", BROKEN.values(), ids=BROKEN)
def test_a_broken_layer_is_told_in_a_sentence(layer):
    broken = OLDER | {"aa/layer.tar": LAYER, "bb/layer.tar": layer}
    with pytest.raises(LabError, match=r"layer\.tar"):
        found(opened(broken))
    with pytest.raises(LabError, match=r"layer\.tar"):
        audit(archive(broken))


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b"[7]", b'[{"Config": 7, "Layers": []}]', b"\xff"])
def test_a_broken_manifest_is_told_in_a_sentence(manifest):
    with pytest.raises(LabError, match=r"manifest\.json"):
        audit(archive({"manifest.json": manifest}))


def test_what_the_engine_sends_is_no_archive():
    with pytest.raises(LabError, match="The image, as the engine has saved it"):
        audit(b"an error in the middle of it")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(kind):
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 8 * 2**30 - 1
    layer = header.tobuf(tarfile.GNU_FORMAT) + b"0" * 4096
    with pytest.raises(LabError, match="a header of 8589934591 bytes"):
        found(opened(OLDER | {"aa/layer.tar": layer, "bb/layer.tar": LAYER}))


def test_of_many_files_none_is_kept_in_memory():
    block = tarfile.TarInfo("empty").tobuf()
    image = opened(OLDER | {"many": gzip.compress(block * 5_000 + b"\0" * 1024, 1)})
    tracemalloc.start()
    try:
        assert sum(1 for _ in image.files("many")) == 5_000
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 1_000_000, "a member that is kept takes half a kilobyte"


def test_so_many_secrets_are_told_and_no_more():
    layer = archive({f"{number}/.env": b"A=1\n" for number in range(image_secrets.MOST_SECRETS + 5)})
    read = audit(archive(OLDER | {"aa/layer.tar": layer, "bb/layer.tar": LAYER}))
    assert len(read.secrets) == image_secrets.MOST_SECRETS


# --- giving up -------------------------------------------------------------------------------------------------------


def test_an_engine_that_prepares_for_ever_can_be_given_up():
    lab, silent = lab_with(b""), threading.Event()
    lab.client.api._get = lambda path, stream: silent.wait(30)
    asked = itertools.count()
    began = time.monotonic()
    with pytest.raises(LabError, match="it is over"), saved(lab, "x", lambda: "it is over" * (next(asked) > 1)):
        pass
    assert time.monotonic() - began < 20
    silent.set()


def test_ctrl_c_ends_the_saving_and_its_file_is_gone():
    lab, ended = lab_with(b""), threading.Event()

    def endless(size):
        with contextlib.closing(SimpleNamespace(close=ended.set)):
            while True:
                yield b"x" * size

    lab.client.api._get = lambda path, stream: SimpleNamespace(iter_content=endless)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), saved(lab, "x", interrupt):
        pass
    assert ended.wait(10), "it is still being saved"


def test_a_layer_that_never_ends_can_be_given_up_while_it_is_read():
    asked = itertools.count()
    layer = archive({"zeros": b"0" * 5_000_000})
    image = archive(OLDER | {"aa/layer.tar": gzip.compress(layer, 1), "bb/layer.tar": LAYER})

    def watch():
        return "it is over" if next(asked) > 2 else ""

    with pytest.raises(LabError, match="it is over"):
        audit(image, watch)
    assert next(asked) < 6
