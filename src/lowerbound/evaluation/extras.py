"""What a recipe's meters found, told apart from the figures that every evaluation has, and put into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_EVERY_MODEL = frozenset(
    {
        *("data", "fingerprint", "split", "count", "particles", "units", "precision", "told"),
        *("log_p", "doubtful", "elbo", "rate", "ess", "khat", "kl_per_dimension", "active_units", "bits_per_dim"),
        *("distortion", "latent", "reconstruction_mse", "information", "nats_per_symbol", "perplexity"),
    }
)
"""What an evaluation has of itself."""


def of_meters(figures: Mapping[str, Any]) -> dict[str, str]:
    """What the meters found, in words by a readable name.

    >>> of_meters({"count": 10, "dead_units": 0.25})
    {'dead units': '0.25'}
    """
    return {readable(name): in_words(found) for name, found in figures.items() if name not in OF_EVERY_MODEL}


def in_words(found: Any) -> str:
    """A meter's figures on one line.

    >>> in_words({"codes": 512, "used": 0.998, "range": [0.25, None]})
    'codes 512, used 0.998, range 0.25 to undefined'
    """
    if isinstance(found, Mapping):
        return ", ".join(f"{readable(name)} {in_words(value)}" for name, value in found.items())
    if isinstance(found, list):
        between = "; " if any(isinstance(each, list) for each in found) else " to " if len(found) == 2 else ", "
        return between.join(map(in_words, found))
    return "undefined" if found is None else f"{found:.4g}"


def readable(name: str) -> str:
    """A name without underscores."""
    return name.replace("_", " ")


def of_information(found: Mapping[str, Any] | None) -> dict[str, str]:
    """The figures in words, by name; nothing where there are none.

    >>> mean = {"value": 2.0, "stderr": 0.1}
    >>> figures = {"mutual_information": mean, "at_most": 6.9, "aggregate_kl": mean, "shuffled": None, "rows": 1000}
    >>> of_information(figures)["aggregate KL"]
    '2.00 ± 0.10'
    """
    if not found:
        return {}
    most = f"of at most {found['at_most']:.2f}, the log of {found['rows']:,} rows"
    return {
        "mutual information": f"{mean_and_error(found['mutual_information'])}  {most}",
        "aggregate KL": mean_and_error(found["aggregate_kl"]),
        "z of another datum": f"{mean_and_error(found['shuffled'])}  more distortion" if found["shuffled"] else "",
    }


def mean_and_error(found: dict[str, float | None] | None, digits: int = 2) -> str:
    """A mean and its standard error in words; nothing for what there is not.

    >>> mean_and_error({"value": 1.5, "stderr": None})
    '1.50 ± undefined'
    """
    if found is None:
        return ""
    return f"{number(found['value'], digits)} ± {number(found['stderr'], digits)}"


def number(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
