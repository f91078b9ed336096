"""Speech: the telephone prompts of the Asterisk exchange, read by a voice for each language, at 8 kHz."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path

import numpy as np

from lowerbound.data.fetch import Way, debian, then
from lowerbound.data.raw import Raw
from lowerbound.files import write_text

LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}
"""Code -> language. One woman reads English and Spanish, others French and Russian, and a man reads Italian."""

DIGESTS: dict[str, str] = {
    "en.pcm": "e7b188e66324dcb8a54cb29c6c424d40944de050644d3c9b4a07bb156b79b18e",
    "en.json": "a6dd487dc24d8d4ef2791afd701224805bc53c8b7e3d03cf614bf447262023a9",
    "es.pcm": "97fefef0db7df4ccafadba124db57c3fdbd5f41cb38f389ba1265cdcd33bf04b",
    "es.json": "30d14ab9080c6569f90c0643a73efdb23f3a5847ede2684cd32ffd3fe1eab276",
    "fr.pcm": "6d73058ac4ef1dc44b77faa33616e8e46736e6133ee56716470dc4bfbb7a7691",
    "fr.json": "5f6330505cafdef545157645ed1206861383aad1e8608957d712f70d0f7f4bab",
    "it.pcm": "678b3267d0bbeaa1d936a82a741deadc17d05bdb8a08067d73b6eae68619d4b1",
    "it.json": "8e574fc3df543e1fa6ec932db675d6aca1ede532e35d682d42b5f015833cd2a6",
    "ru.pcm": "b43b6fa5513c5243bae5fb8818689db64d255513a719a5a21f8cd145ae378393",
    "ru.json": "d31b41cf24f8aa60a5edfd6212f7998130cb5e8354d686bb6e8e233e24a1a1dd",
}

BY_HAND = (
    "download asterisk-core-sounds-en-wav (and es, fr, it, ru) 1.6.1 from https://packages.debian.org, and see "
    "lowerbound.data.sound.asterisk.prepare for what is made of them; make them so"
)
"""The recordings are CC BY-SA 3.0 (English and Spanish by Allison Smith, French by June Wallack) and CC BY 3.0
(Italian by Carlo Flora, Russian by Maxim Topal's ivrvoice.ru)."""


_HEADER = 44
"""Bytes before the samples; one prompt has no more than them."""


def digests(*languages: str) -> dict[str, str]:
    """The files of languages, and what they must hold."""
    return {name: DIGESTS[name] for language in languages for name in _names(language)}


def decode(name: str, *languages: str) -> Callable[[Path], Raw]:
    """Half-second clips of speech; of several languages the language is the label."""

    def read(folder: Path) -> Raw:
        from lowerbound.data.sound.clips import raw_of  # its spectrograms need torch
        from lowerbound.data.sound.wav import Sound

        found = [(code, Sound(x, 8_000)) for code in languages for x in recordings(folder, code)]
        labels = np.array([LANGUAGES[code] for code, _ in found]) if len(languages) > 1 else None
        return raw_of(name, name, [sound for _, sound in found], labels)

    return read


def recordings(folder: Path, language: str) -> Iterator[np.ndarray]:
    """The samples of each prompt, full scale [-1, 1]."""
    steps, about = _names(language)
    lengths = json.loads((folder / about).read_text(encoding="utf-8")).values()
    samples = np.fromfile(folder / steps, "<i2").astype(np.float32) / (1 << 15)
    yield from np.split(samples, np.cumsum([*lengths])[:-1])


def way(*languages: str) -> Way:
    """Out of a Debian package for each language, one after the other."""
    each = [then(debian(f"asterisk-core-sounds-{language}-wav"), prepare(language)) for language in languages]
    return reduce(then, each)


def prepare(language: str) -> Way:
    """All prompts of a package but its pauses, in order of name: their samples end to end, and how many each has."""

    def step(folder: Path) -> None:
        from scipy.io import wavfile  # slow to import

        steps, about = _names(language)
        archive = folder / "package.tar"
        with tarfile.open(archive) as tar:
            found = {name: wavfile.read(io.BytesIO(content))[1] for name, content in _prompts(tar)}
        np.concatenate([*found.values()]).astype("<i2").tofile(folder / steps)
        write_text(folder / about, json.dumps({name: len(values) for name, values in found.items()}))
        for done in (archive, *folder.glob("*.deb")):
            done.unlink()  # the next language comes into the same folder

    return step


def _prompts(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Name within the voice's folder -> the file's bytes."""
    for member in sorted(tar.getmembers(), key=lambda each: each.name):
        name = member.name.partition("/sounds/")[2].partition("/")[2]
        wanted = name.endswith(".wav") and not name.startswith("silence/") and member.size > _HEADER
        stream = tar.extractfile(member) if wanted and member.isreg() else None
        if stream is not None:
            yield name, stream.read()


def _names(language: str) -> tuple[str, str]:
    return f"{language}.pcm", f"{language}.json"
