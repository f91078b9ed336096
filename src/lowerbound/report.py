"""One self-contained HTML page about a trained model: its numbers, their reliability, pictures and settings.

The page needs nothing but itself: pictures are inside it, there are no scripts, and it follows the reader's choice of
a light or a dark screen. Every text is escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from lowerbound.core.psis import RELIABLE_K
from lowerbound.errors import InputError
from lowerbound.evaluation.extras import of_meters
from lowerbound.files import write_text
from lowerbound.plots import khat_histogram, png, rate_bars

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

FEW = 0.05
"""Up to this share of data with an unreliable estimate, their average is still worth reading."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --page: #fff; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --quiet: #9198a1; --line: #3d444d; --page: #0d1117; --card: #151b23; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { max-width: 45rem; }
.lead, .unit, .what, figcaption { color: var(--quiet); }
.headline { margin: 1.5rem 0; padding: 1rem 1.25rem; background: var(--card); border-radius: .5rem; }
.headline strong { font-size: 2rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; }
td { padding: .4rem .9rem .4rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td.number { padding-right: 0; text-align: right; font-variant-numeric: tabular-nums; }
.what, .unit { font-size: .9rem; }
.facts td { overflow-wrap: anywhere; }
.facts td:first-child { width: 12rem; color: var(--quiet); overflow-wrap: normal; }
figure { margin: 1.5rem 0; }
img { display: block; max-width: min(100%, 45rem); height: auto; background: #fff; border-radius: .3rem; }
figcaption { margin-top: .4rem; font-size: .9rem; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  .headline strong { font-size: 1.6rem; }
  .facts td:first-child { width: 8rem; }
}
"""


@final
class Markup(str):
    """Text that is HTML already."""


@final
@dataclass(frozen=True)
class Quantity:
    """A row of the table of numbers: its key in an evaluation, and what a reader needs to know of it."""

    key: str
    name: str
    unit: str
    meaning: str
    digits: int = 2


QUANTITIES = (
    Quantity("log_p", "log p(x)", "nats", "log-likelihood, by importance sampling; higher is better"),
    Quantity("elbo", "ELBO", "nats", "evidence lower bound on log p(x): minus the rate, minus the distortion"),
    Quantity("rate", "rate", "nats", "KL(q(z|x) ‖ p(z)): what the code z tells about a datum"),
    Quantity("distortion", "distortion", "nats", "−E log p(x|z): what the code leaves to be told"),
    Quantity("bits_per_dim", "bits/dim", "bits per value", "−log p(x) by the value: the size of a lossless code", 3),
    Quantity("nats_per_symbol", "nats per symbol", "nats", "−log p(x) by the symbol of a text, its end among them", 3),
    Quantity("perplexity", "perplexity", "symbols", "among so many equally likely ones each might have been chosen"),
    Quantity(
        "reconstruction_mse",
        "reconstruction error",
        "of the range²",
        "mean squared error of a value decoded from the posterior mean",
        5,
    ),
    Quantity(
        "mutual_information",
        "mutual information",
        "nats",
        "between z and which of the rows x is, so at most the logarithm of their number",
    ),
    Quantity(
        "aggregate_kl", "aggregate KL", "nats", "KL(q(z) ‖ p(z)): how far the codes of all data are from the prior"
    ),
    Quantity(
        "shuffled", "z of another datum", "nats", "by how much the distortion rises when a datum is decoded from it"
    ),
)


def write_report(
    path: Path,
    *,
    title: str,
    summary: str,
    numbers: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, bytes | Path],
    texts: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({}),
) -> None:
    """Write the page to `path`, whole or not at all.

    Args:
        path: the HTML file.
        title: its heading.
        summary: one line below it.
        numbers: an evaluation, as `Fitted.evaluate` gives it.
        facts: tables of names and values by their headings: recipe, settings, data, versions.
        pictures: PNGs, as bytes or files, by their captions.
        texts: tables of texts, row by row, by their captions.

    Raises:
        InputError: a picture that is missing or is not a PNG.
    """
    figures = [_figure(caption, picture) for caption, picture in (*pictures.items(), *_drawn(numbers))]
    body = (
        tag("h1", title),
        tag("p", summary, css="lead"),
        *_headline(numbers),
        tag("h2", "Numbers, per datum"),
        _numbers(numbers),
        *_reliability(numbers),
        *([tag("h2", "Texts"), *map(_table, texts, texts.values())] if texts else []),
        *([tag("h2", "Pictures"), *figures] if figures else []),
        tag("h2", "Particulars"),
        *[part for heading, table in facts.items() for part in (tag("h3", heading), _facts(table))],
    )
    write_text(path, _page(title, body))


def tag(name: str, *children: str, css: str = "") -> Markup:
    """An HTML element; children that are not markup already are escaped.

    Example:
        >>> tag("p", "1 < 2 ", tag("b", "&"), css="lead")
        '<p class="lead">1 &lt; 2 <b>&amp;</b></p>'
    """
    inside = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    return Markup(f'<{name} class="{css}">{inside}</{name}>' if css else f"<{name}>{inside}</{name}>")


def measured(estimate: Mapping[str, Any], digits: int) -> str:
    """A value and its standard error in as many digits.

    Example:
        >>> measured({"value": -86.512, "stderr": 0.312}, 2)
        '−86.51 ± 0.31'
        >>> measured({"value": None, "stderr": None}, 2)
        'not finite'
    """
    value, stderr = estimate["value"], estimate.get("stderr")
    if value is None:
        return "not finite"
    return _number(value, digits) + (f" ± {_number(stderr, digits)}" if stderr is not None else "")


def _page(title: str, body: Sequence[Markup]) -> str:
    head = (
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    document = (tag("head", *head), tag("body", tag("main", *body)))
    return "<!doctype html>\n" + f'<html lang="en">{"".join(document)}</html>\n'


def _headline(numbers: Mapping[str, Any]) -> Iterator[Markup]:
    if "log_p" in numbers:
        value = tag("strong", measured(numbers["log_p"], 2))
        what = f"log p(x) per datum of the {numbers['split']} split: {numbers['count']:,} data, "
        how = f"{numbers['particles']:,} particles each. "
        error = "± is the standard error of the mean over data."
        yield tag("div", value, " nats", tag("div", what, how, error, css="what"), css="headline")


def _numbers(numbers: Mapping[str, Any]) -> Markup:
    figures = {**numbers, **numbers.get("information", {})}
    rows = [
        _row(each.name, each.meaning, measured(figures[each.key], each.digits), each.unit)
        for each in QUANTITIES
        if figures.get(each.key) is not None
    ]
    found = [_row(name, "as the recipe's meters have it", words, "") for name, words in of_meters(numbers).items()]
    return tag("table", *rows, *_active(numbers), *found, css="numbers")


def _active(numbers: Mapping[str, Any]) -> Iterator[Markup]:
    if "active_units" in numbers:
        value = f"{numbers['active_units']} of {numbers['latent']}"
        yield _row("active units", "latent dimensions that vary with the data", value, "dimensions")


def _row(name: str, meaning: str, value: str, unit: str) -> Markup:
    what = tag("td", name, tag("div", meaning, css="what"))
    return tag("tr", what, tag("td", value, " ", tag("span", unit, css="unit"), css="number"))


def _reliability(numbers: Mapping[str, Any]) -> Iterator[Markup]:
    """What the effective sample size and Pareto k-hat say of log p(x)."""
    if "khat" in numbers and "ess" in numbers:
        ess = numbers["ess"]
        draws = (
            f"It averages {numbers['particles']:,} weighted draws a datum, of which the heaviest count most. The "
            f"effective sample size is {_number(ess['median'], 1)} draws for the median datum and "
            f"{_number(ess['min'], 1)} for the worst. "
        )
        yield tag("h2", "Can log p(x) be believed?")
        yield tag("p", draws, _tail(numbers["khat"], numbers["count"]))


def _tail(khat: Mapping[str, Any], count: int) -> str:
    if khat["median"] is None:
        return "These are too few to tell from their Pareto k-hat whether the estimates are reliable."
    share = khat["share_above_0.7"]
    return (
        f"The Pareto k-hat of the weights is {_number(khat['median'], 2)} for the median datum and "
        f"{_number(khat['max'], 2)} for the worst; {round(share * count):,} of {count:,} data are above "
        f"{RELIABLE_K}, where an estimate is not reliable. {_verdict(share)}"
    )


def _verdict(share: float) -> str:
    if share == 0:
        return "Each estimate is reliable."
    if share <= FEW:
        return "Theirs are likely too low; so few move the mean over all data little."
    return "Read the mean as a lower bound on log p(x), and raise the number of particles to tighten it."


def _drawn(numbers: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The pictures that an evaluation itself is enough for."""
    if numbers.get("kl_per_dimension"):
        yield (
            "KL(q(z|x) ‖ p(z)) of each latent dimension, a mean over data",
            png(rate_bars(numbers["kl_per_dimension"])),
        )
    if cells := numbers.get("khat", {}).get("histogram"):
        yield "Reliability: the Pareto k-hat of the weights behind each log p(x)", png(khat_histogram(**cells))


def _figure(caption: str, picture: bytes | Path) -> Markup:
    data = base64.b64encode(_read(picture)).decode("ascii")
    alt = html.escape(caption, quote=True)
    image = Markup(f'<img alt="{alt}" src="data:image/png;base64,{data}">')
    return tag("figure", image, tag("figcaption", caption))


def _read(picture: bytes | Path) -> bytes:
    if isinstance(picture, Path) and not picture.is_file():
        raise InputError(f"the report's picture {picture} is not there; draw it first")
    data = picture.read_bytes() if isinstance(picture, Path) else picture
    if not data.startswith(PNG_SIGNATURE):
        name = picture if isinstance(picture, Path) else "given as bytes"
        raise InputError(f"the report's picture {name} is not a PNG; convert it to one")
    return data


def _table(caption: str, rows: Sequence[Sequence[str]]) -> Markup:
    cells = (tag("tr", *(tag("td", text) for text in row)) for row in rows)
    return tag("figure", tag("table", *cells), tag("figcaption", caption))


def _facts(table: Mapping[str, Any]) -> Markup:
    rows = (tag("tr", tag("td", name), tag("td", _plain(value))) for name, value in table.items())
    return tag("table", *rows, css="facts")


def _plain(value: Any) -> str:
    """A value as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _number(value: float | None, digits: int) -> str:
    """With a true minus sign, and `not finite` for what JSON had no number for."""
    return "not finite" if value is None else f"{value:,.{digits}f}".replace("-", "−")
