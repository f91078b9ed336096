"""Small tables on which imputation and the finding of anomalies are compared, out of R's package mlbench."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from lowerbound.data.fetch import Way, debian, system
from lowerbound.data.raw import Raw
from lowerbound.errors import InputError, MissingExtraError

FOLDER = "usr/lib/R/site-library/mlbench/data"
BY_HAND = (
    "on Debian and its kin, apt-get install r-cran-mlbench; elsewhere, download that package from "
    "https://packages.debian.org/r-cran-mlbench, unpack it,"
)


@final
@dataclass(frozen=True)
class RTable:
    """A table of mlbench: Friedrich Leisch and Evgenia Dimitriadou, "mlbench: machine learning benchmark problems".

    object: its name in R, and its file's. left_out: columns that are constant or say who was measured. label: the
    column to condition on. levels: of whole numbers of an ordered scale from 0 up; 0 for any numbers.
    """

    name: str
    summary: str
    object: str
    digest: str
    label: str = "Class"
    left_out: tuple[str, ...] = ()
    levels: int = 0

    @property
    def file(self) -> str:
        """Its file."""
        return f"{self.object}.rda"

    @property
    def ways(self) -> tuple[Way, ...]:
        """How to get it."""
        return system(f"/{FOLDER}"), debian("r-cran-mlbench", f"./{FOLDER}/{self.file}")

    def decode(self, folder: Path) -> Raw:
        """The table in that folder."""
        frame = _read(folder / self.file)[self.object]
        labels = np.asarray(frame[self.label].astype(str), dtype=str)
        kept = frame.drop(columns=[self.label, *self.left_out])
        values = np.stack([np.asarray(kept[name].astype(float)) for name in kept.columns], axis=1)
        x = values.astype(np.uint8) if self.levels else values
        columns = tuple(map(str, kept.columns))
        return Raw(self.name, self.name, {"x": x}, labels, columns, levels=self.levels or 256)


def _read(path: Path) -> Any:
    """The objects in a file of R's by name; it holds data, and nothing of it is run."""
    try:
        import rdata
    except ImportError as error:
        raise MissingExtraError("rdata", "tables") from error
    try:
        return rdata.read_rda(path, default_encoding="utf-8")
    except (ValueError, OSError, EOFError, NotImplementedError) as error:
        raise InputError(f"{path} cannot be read as a file of R's ({error}); delete it, and fetch it again") from None


R_TABLES = (
    RTable(
        "letter",
        "20 000 letters printed in twenty fonts, 16 measurements of each from 0 to 15",
        "LetterRecognition",
        "967a1a3e10b548d7269cbe50182bcecd6365cc58ea07638bbc34c51f17f34f1d",
        label="lettr",
        levels=16,
    ),
    RTable(
        "satellite",
        "6 435 patches of land seen from Landsat: 9 pixels in 4 bands, 0 to 255, and what grows there",
        "Satellite",
        "29f8cf9bb1bc51b769d694c9caf740fd1c36ed6a7c87603edf5985962e330f64",
        label="classes",
        levels=256,
    ),
    RTable(
        "shuttle",
        "58 000 states of a space shuttle's radiators, 9 numbers each",
        "Shuttle",
        "5b1db218b76a47c83f575f1ff38d7a7d36e569b0e27d8bf4aa92eae6c0bcb826",
    ),
    RTable(
        "ionosphere",
        "351 radar echoes, 33 numbers each, good or bad",
        "Ionosphere",
        "1e72974db40749e025434dbb45c815c826d3cce7c1b324fd07ee89aee44e08b7",
        left_out=("V2",),
    ),
    RTable(
        "pima",
        "768 women, 8 measurements each, with diabetes or without; some that are 0 were not taken (see pima-missing)",
        "PimaIndiansDiabetes",
        "fc134e041577d3ff2b784e1610b6fbbe165f815abc83652ba77a28f4bccb89ec",
        label="diabetes",
    ),
    RTable(
        "pima-missing",
        "the same, with 652 values that were not taken missing",
        "PimaIndiansDiabetes2",
        "986f0c7dab95708aee2d1d8f8ae8fe6f03fdd93008ee83b5716dce1516e5c1fc",
        label="diabetes",
    ),
    RTable(
        "glass",
        "214 pieces of glass, 9 measurements each, of six types",
        "Glass",
        "dd6d25227d9b49c30a4de04566bec1a2877e790b7690544ad848d847144f32b7",
        label="Type",
    ),
    RTable(
        "vowel",
        "990 spoken vowels, 9 numbers each, of eleven kinds",
        "Vowel",
        "6577f9ca304153797ec7621d79020b010d160c425da2007639b9e6a2b23fb127",
        left_out=("V1",),
    ),
    RTable(
        "vehicle",
        "846 silhouettes of four vehicles, 18 measurements each",
        "Vehicle",
        "ea993a1fe72b2611a609101aa6ebee43b6a9dd07c329c9acd1a184ba971a2710",
    ),
)
"""The tables."""
