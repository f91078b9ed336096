"""Emoji: small pictures with captions in English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.fetch import npm, then
from lowerbound.data.raw import Raw
from lowerbound.files import write_text

SIDE = 32
PICTURES, TEXTS = "pictures.bin", "captions.json"
DIGESTS: dict[str, str] = {
    PICTURES: "c8957f5f6b169def6eb2767a7861a1fcf00a79108527bcfbe4d348d141bcbc93",
    TEXTS: "d96eab86a3097332aa7d2cceb65712da23720320520fff7b2942c9147bb48635",
}
LANGUAGES = ("en", "zh")
TAGS = 5
"""Tags in a full caption, at most."""

KINDS = (
    *("smileys and emotion", "people and body", "components", "animals and nature", "food and drink"),
    *("travel and places", "activities", "objects", "symbols", "flags"),
)
BY_HAND = (
    "run npm pack emoji-datasource-google@16.0.0 and npm pack emojibase-data@17.0.0, and see "
    "lowerbound.data.emoji.prepare for what is made of them; make them so"
)

_SHEET, _PLACES, _CELL = "64.png", "emoji.json", 66
_ENGLISH, _CHINESE = "data.json", "compact.json"


def decode(folder: Path) -> Raw:
    """A row for each of four captions of an emoji: its name, and its name with tags, in English and in Chinese.

    Its kind is the label. All rows of one emoji are in one split, so that both the pictures and the captions of the
    test rows are new.
    """
    texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
    pictures = np.fromfile(folder / PICTURES, np.uint8).reshape(len(texts), SIDE, SIDE, 3)
    each = 2 * len(LANGUAGES)
    captions = [caption for about in texts for language in LANGUAGES for caption in captions_of(about[language])]
    return Raw(
        "emoji",
        "emoji",
        {"x": np.repeat(pictures, each, axis=0)},
        labels=np.repeat([about["kind"] for about in texts], each),
        label_names=KINDS,
        captions=np.array(captions),
        groups=np.repeat(np.arange(len(texts)), each),
    )


def captions_of(about: dict[str, Any]) -> tuple[str, str]:
    """The name alone, and with the first tags that the name does not hold.

    >>> captions_of({"name": "sauropod", "tags": ["dinosaur", "sauropod", "t-rex"]})
    ('sauropod', 'sauropod, dinosaur, t-rex')
    """
    name = about["name"]
    more = [tag for tag in about["tags"] if tag not in name]
    return name, ", ".join([name, *more[:TAGS]])


def prepare(folder: Path) -> None:
    """Two files of what the packages hold: 32×32 pictures over white, and names and tags in both languages."""
    from PIL import Image

    found = list(_matched(folder))
    with Image.open(folder / _SHEET) as sheet:
        cells = np.asarray(sheet.convert("RGBA"))
    np.stack([_picture(cells, place) for place, _ in found]).tofile(folder / PICTURES)
    write_text(folder / TEXTS, json.dumps([about for _, about in found], ensure_ascii=False, sort_keys=True))


def _matched(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Where the picture of each emoji is, and its texts, in the order of the standard."""
    names = (_ENGLISH, _CHINESE, _PLACES)
    english, chinese, places = (json.loads((folder / name).read_text(encoding="utf-8")) for name in names)
    pictures = {_bare(each["unified"]): each for each in places}
    other = {each["hexcode"]: each for each in chinese}
    for each in sorted((each for each in english if "order" in each), key=lambda each: each["order"]):
        if place := pictures.get(_bare(each["hexcode"])):
            yield place, {"kind": each["group"], "en": _named(each), "zh": _named(other[each["hexcode"]])}


def _bare(code: str) -> str:
    """A sequence of code points without the one that only asks for a coloured picture."""
    return code.upper().replace("-FE0F", "")


def _named(about: dict[str, Any]) -> dict[str, Any]:
    return {"name": about["label"], "tags": about.get("tags", [])}


def _picture(cells: np.ndarray, place: dict[str, Any]) -> np.ndarray:
    """Over white, and each 2×2 pixels their mean; in whole numbers, so that every machine gets the same."""
    top, left = (1 + _CELL * place[key] for key in ("sheet_y", "sheet_x"))
    cell = cells[top : top + 2 * SIDE, left : left + 2 * SIDE].astype(np.int64)
    alpha = cell[..., 3:]
    over_white = cell[..., :3] * alpha + 255 * (255 - alpha)
    total = over_white.reshape(SIDE, 2, SIDE, 2, 3).sum((1, 3))
    return ((total + 2 * 255) // (4 * 255)).astype(np.uint8)


WAY = then(
    then(
        npm("emoji-datasource-google@16.0.0", f"package/img/google/sheets/{_SHEET}", f"package/{_PLACES}"),
        npm("emojibase-data@17.0.0", f"package/en/{_ENGLISH}", f"package/zh/{_CHINESE}"),
    ),
    prepare,
)
"""The pictures are Google's Noto (Apache-2.0); the texts are of emojibase (MIT), after Unicode's CLDR."""
