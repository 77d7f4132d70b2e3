"""Data names files of one folder and nothing else: what leads elsewhere is neither opened nor looked for."""

import os
import socket
import threading
from pathlib import Path

import fsspec
import pytest

from pipeline_core.errors import InvalidInputError, MediaNotAllowedError
from pipeline_core.media import MediaRoot, open_media


@pytest.fixture
def tree(tmp_path):
    """photos/ has a.bin, b/c.bin and things that lead out of it; secret.bin lies beside it."""
    photos = tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.bin").write_bytes(b"secret")
    (photos / "a.bin").write_bytes(b"a")
    (photos / "12:30 ☃.bin").write_bytes(b"snow")
    (photos / "b" / "c.bin").write_bytes(b"c")
    (photos / "inner.bin").symlink_to("b/c.bin")
    (photos / "inner").symlink_to("b")
    (photos / "out.bin").symlink_to("../secret.bin")
    (photos / "out").symlink_to(tmp_path / "outside")
    (photos / "loop").symlink_to("loop")
    (photos / "null.bin").symlink_to("/dev/null")
    os.mkfifo(photos / "pipe.bin")
    return photos


def content(root: MediaRoot, name: str) -> bytes:
    with root.open(name) as file:
        return file.read()


def test_names_below_the_folder_are_opened(tree, tmp_path, monkeypatch):
    root = MediaRoot(str(tree))
    assert content(root, "a.bin") == b"a"
    assert content(root, "./b//c.bin") == b"c"
    assert content(root, "12:30 ☃.bin") == b"snow"
    assert content(root, str(tree / "b" / "c.bin")) == b"c"
    monkeypatch.chdir(tmp_path)
    assert content(MediaRoot("photos"), "a.bin") == b"a"
    (tmp_path / "link").symlink_to("photos")
    assert content(MediaRoot("link"), str(tmp_path / "link" / "a.bin")) == b"a"
    assert content(MediaRoot("link"), str(tree / "a.bin")) == b"a"


def test_links_within_the_folder_are_followed(tree):
    assert content(MediaRoot(str(tree)), "inner.bin") == b"c"
    assert content(MediaRoot(str(tree)), "inner/c.bin") == b"c"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.bin",
        "b/../../secret.bin",
        "b/../a.bin",
        "..",
        "{outside}",
        "/etc/hostname",
        "/dev/zero",
        "//etc/hostname",
        "out.bin",
        "out/x.bin",
        "null.bin",
        "pipe.bin",
        "loop",
        "b",
        ".",
        "",
        "a.bin\0.png",
        "http://127.0.0.1:9/a.bin",
        "https://example.invalid/a.bin",
        "file:///etc/hostname",
        "file:a.bin",
        "s3://bucket/a.bin",
        "hf://datasets/a/b/c.bin",
        "data:text/plain,a",
    ],
)
def test_a_name_that_leads_elsewhere_is_not_allowed(tree, name):
    with pytest.raises(MediaNotAllowedError, match="is not opened"):
        MediaRoot(str(tree)).open(name.format(outside=tree.parent / "secret.bin"))


def test_a_folder_whose_name_only_begins_alike_is_elsewhere(tree, tmp_path):
    (tmp_path / "photos-private").mkdir()
    (tmp_path / "photos-private" / "a.bin").write_bytes(b"secret")
    with pytest.raises(MediaNotAllowedError, match="outside"):
        MediaRoot(str(tree)).open(str(tmp_path / "photos-private" / "a.bin"))


@pytest.mark.parametrize("name", ["missing.bin", "b/missing.bin", "a.bin/x", "x" * 5000, "\ud800.bin"])
def test_a_file_that_is_not_there_is_an_error_of_its_row(tree, name):
    with pytest.raises(InvalidInputError) as raised:
        MediaRoot(str(tree)).open(name)
    assert not isinstance(raised.value, MediaNotAllowedError)


def test_a_link_that_is_put_there_after_the_look_leads_nowhere(tree, monkeypatch):
    resolve = os.path.realpath

    def and_then_swap(path, *arguments, **settings):
        resolved = resolve(path, *arguments, **settings)
        if resolved.endswith("c.bin"):
            (tree / "b").rename(tree / "moved")
            (tree / "b").symlink_to(tree.parent / "outside")
            (tree.parent / "outside" / "c.bin").write_bytes(b"secret")
        return resolved

    monkeypatch.setattr(os.path, "realpath", and_then_swap)
    with pytest.raises(InvalidInputError):
        MediaRoot(str(tree)).open("b/c.bin")


def test_links_that_change_all_the_time_never_lead_out(tree):
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for target in ("../secret.bin", "b/c.bin"):
                (tree / "next").symlink_to(target)
                os.replace(tree / "next", tree / "swapped.bin")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        found = set()
        for _ in range(300):
            try:
                found.add(content(MediaRoot(str(tree)), "swapped.bin"))
            except InvalidInputError:
                found.add(None)
        assert found <= {b"c", None}
    finally:
        stop.set()
        swapping.join()


def test_nothing_is_fetched_for_a_row(tree):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.bin"
        for root in (None, MediaRoot(str(tree))):
            for value in (url, {"bytes": None, "path": url}):
                with pytest.raises(MediaNotAllowedError):
                    open_media(value, root)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_a_folder_no_string_is_opened(tree):
    for value in (str(tree / "a.bin"), {"bytes": None, "path": str(tree / "a.bin")}, {"path": "a.bin"}):
        with pytest.raises(MediaNotAllowedError, match="a string is data"):
            open_media(value, None)


def test_bytes_and_paths_of_the_programmer_need_no_folder(tree):
    for value in (b"a", bytearray(b"a"), tree / "a.bin", {"bytes": b"a", "path": "/etc/hostname"}):
        with open_media(value, None) as file:
            assert file.read() == b"a"
    assert open_media(17, None) is None
    assert open_media({"question": "Who?"}, None) is None
    with pytest.raises(InvalidInputError, match="neither bytes nor a path"):
        open_media({"bytes": None, "path": None}, None)
    for path in (tree / "missing.bin", tree / "pipe.bin", tree, Path("/dev/zero")):
        with pytest.raises(InvalidInputError):
            open_media(path, None)


def test_a_remote_folder_gives_its_own_files_only():
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/bucket/photos/a.bin", b"a")
    fs.pipe_file("/bucket/secret.bin", b"secret")
    root = MediaRoot("memory://bucket/photos")
    assert content(root, "a.bin") == b"a"
    assert content(root, "memory://bucket/photos/a.bin") == b"a"
    for name in ("../secret.bin", "memory://bucket/secret.bin", "/bucket/secret.bin", "http://127.0.0.1:9/"):
        with pytest.raises(MediaNotAllowedError):
            root.open(name)
    with pytest.raises(InvalidInputError, match="is not in the folder"):
        root.open("missing.bin")
