"""The report page: whole, self-contained, escaped, and saying what the numbers say."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lowerbound.errors import InputError
from lowerbound.report import PNG_SIGNATURE, Markup, measured, tag, write_report

VOID = {"meta", "img", "br"}
PNG = PNG_SIGNATURE + bytes(range(256))


class Reader(HTMLParser):
    """Checks that every element is closed, and keeps texts and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))


def numbers(**changes: Any) -> dict[str, Any]:
    return {
        "split": "test",
        "count": 10000,
        "particles": 5000,
        "units": "nats",
        "log_p": {"value": -86.512, "stderr": 0.312, "monte_carlo": 0.004},
        "elbo": {"value": -90.21, "stderr": 0.33},
        "rate": {"value": 25.6, "stderr": 0.05},
        "distortion": {"value": 64.61, "stderr": 0.3},
        "ess": {"median": 112.3, "min": 1.4},
        "khat": {"median": 0.51, "max": 1.22, "share_above_0.7": 0.041},
        "kl_per_dimension": None,
        "active_units": 23,
        "latent": 50,
        "reconstruction_mse": {"value": 0.00912, "stderr": 0.00004},
        "bits_per_dim": None,
        **changes,
    }


def page(folder: Path, **changes: Any) -> str:
    path = folder / "report.html"
    given: dict[str, Any] = {
        "title": "vae on mnist",
        "summary": "Trained for 50 epochs.",
        "numbers": numbers(),
        "facts": {"Settings": {"lr": 0.001, "patience": None, "hidden": [200, 100], "tensorboard": False}},
        "pictures": {"Samples": PNG},
    }
    write_report(path, **{**given, **changes})
    return path.read_text(encoding="utf-8")


def images(page: str) -> list[bytes]:
    """The bytes of the pictures inside."""
    sources = [attributes["src"] or "" for name, attributes in Reader(page).elements if name == "img"]
    return [base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True) for source in sources]


def test_every_number_stands_there_with_its_error_and_unit(tmp_path: Path) -> None:
    text = Reader(page(tmp_path)).text
    for words in (
        "−86.51 ± 0.31 nats",
        "−90.21 ± 0.33 nats",
        "25.60 ± 0.05 nats",
        "64.61 ± 0.30 nats",
        "0.00912 ± 0.00004 of the range²",
        "23 of 50 dimensions",
        "10,000 data, 5,000 particles each",
    ):
        assert words in text


def test_what_the_meters_found_stands_there_too(tmp_path: Path) -> None:
    found = numbers(codebook={"codes": 512, "used": 0.998})
    assert "as the recipe's meters have it" in Reader(page(tmp_path, numbers=found)).text
    assert "codes 512, used 0.998" in Reader(page(tmp_path, numbers=found)).text
    assert "meters" not in Reader(page(tmp_path)).text


def test_bits_by_dimension_stand_there_only_where_they_mean_something(tmp_path: Path) -> None:
    assert "bits" not in Reader(page(tmp_path)).text
    given = numbers(bits_per_dim={"value": 3.1234, "stderr": 0.0042})
    assert "3.123 ± 0.004 bits per value" in Reader(page(tmp_path, numbers=given)).text


@pytest.mark.parametrize(
    ("share", "says"),
    [(0.0, "0 of 10,000 data"), (0.0, "Each estimate is reliable"), (0.041, "410 of 10,000 data"),
     (0.041, "likely too low"), (0.5, "Read the mean as a lower bound")],
)  # fmt: skip
def test_the_reliability_of_log_p_is_put_into_words(tmp_path: Path, share: float, says: str) -> None:
    given = numbers(khat={"median": 0.5, "max": 1.2, "share_above_0.7": share})
    assert says in Reader(page(tmp_path, numbers=given)).text


def test_what_is_not_finite_or_not_known_is_said(tmp_path: Path) -> None:
    given = numbers(
        log_p={"value": None, "stderr": None, "monte_carlo": None},
        khat={"median": None, "max": None, "share_above_0.7": 1.0},
        reconstruction_mse=None,
    )
    text = Reader(page(tmp_path, numbers=given)).text
    assert "not finite nats" in text
    assert "too few to tell" in text
    assert "reconstruction error" not in text


def test_the_page_is_whole_without_numbers_or_pictures(tmp_path: Path) -> None:
    assert "Pictures" not in Reader(page(tmp_path, numbers={}, pictures={})).text


def test_the_rate_of_each_dimension_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    assert len(images(page(tmp_path))) == 1
    drawn = images(page(tmp_path, numbers=numbers(kl_per_dimension=[1.0, 0.2])))
    assert drawn[0] == PNG
    assert drawn[1].startswith(PNG_SIGNATURE)


def test_settings_read_as_a_person_would_write_them(tmp_path: Path) -> None:
    text = Reader(page(tmp_path)).text
    assert "lr0.001patiencenonehidden200, 100tensorboardno" in text


def test_every_text_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('\"&')</script>"
    given = page(tmp_path, title=evil, summary=evil, facts={evil: {evil: evil}}, pictures={evil: PNG})
    reader = Reader(given)
    assert "script" not in {name for name, _ in reader.elements}
    assert reader.text.count(evil) == 7
    assert ("img", evil) in [(name, attributes.get("alt")) for name, attributes in reader.elements]


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    given = page(tmp_path)
    sources = [value for _, attributes in Reader(given).elements for value in attributes.values() if value]
    assert not [value for value in sources if "//" in value.partition("base64,")[0]]
    assert "url(" not in given
    assert "@import" not in given


def test_pictures_are_inside_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "grid.png"
    file.write_bytes(PNG + b"more")
    assert images(page(tmp_path, pictures={"a": PNG, "b": file})) == [PNG, file.read_bytes()]


def test_pictures_that_are_none_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png is not there"):
        page(tmp_path, pictures={"a": tmp_path / "gone.png"})
    with pytest.raises(InputError, match="is not a PNG"):
        page(tmp_path, pictures={"a": b"GIF89a"})
    assert list(tmp_path.iterdir()) == []


def test_markup_is_left_alone_and_text_is_not() -> None:
    assert tag("p", Markup("<b>"), "<b>") == "<p><b>&lt;b&gt;</p>"
    assert measured({"value": 1234.5}, 1) == "1,234.5"


def test_the_reliability_of_each_estimate_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    cells = {"low": 0.1, "high": 1.2, "counts": [9, 3, 1]}
    given = numbers(khat={"median": 0.3, "max": 1.2, "share_above_0.7": 0.1, "histogram": cells})
    assert len(images(page(tmp_path, numbers=given))) == 2
