"""Verbs that describe: recipes, data, doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from lowerbound.cli.verb import Answer, Named, Switch, Verb

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset
    from lowerbound.data.spec import Variable
    from lowerbound.recipes import Recipe

SHOWN = 12
"""Labels that are named."""


@final
@dataclass(frozen=True, kw_only=True)
class Recipes(Verb):
    """List the recipes, or the arguments of one."""

    name: Named[str | None] = None
    """A recipe; without one, all are listed."""

    def answer(self) -> Answer:
        from lowerbound import recipes

        if self.name is not None:
            return _one_recipe(recipes.get(self.name))
        found = {name: recipes.get(name).summary for name in recipes.names()}
        width = max(map(len, found))
        return Answer({"recipes": found}, "\n".join(f"{name:<{width}}  {line}" for name, line in found.items()))


@final
@dataclass(frozen=True, kw_only=True)
class Data(Verb):
    """Describe data: what the values are, the splits, the likelihood that suits them and why; or list what there is."""

    source: Named[str | None] = None
    """A file, a folder of pictures or a named data set; without one, the named data sets are listed."""
    kind: Literal["binary", "byte", "unit", "real", "count", "category", "characters", "words"] | None = None
    """What the values are, where the guess from type and range is wrong."""
    labels: str | None = None
    """The column of a table, or the array of an npz, that labels the rows."""
    missing: Switch = False
    """Take NaN and the empty cells of a table for values that were not observed."""
    text: str | None = None
    """Text encoder under which captions become vectors to condition on."""

    def answer(self) -> Answer:
        from lowerbound.data.dataset import load_data

        if self.source is None:
            return _sources()
        return _one_dataset(
            load_data(self.source, kind=self.kind, labels=self.labels, missing=self.missing, text=self.text)
        )


@final
@dataclass(frozen=True, kw_only=True)
class Doctor(Verb):
    """Tell what is installed, which devices there are, and what is missing and how to get it."""

    def answer(self) -> Answer:
        from lowerbound import doctor

        found = doctor.examine()
        return Answer(found, doctor.describe(found))


def _one_recipe(recipe: Recipe) -> Answer:
    facts = {p.name: {"default": p.default, "help": p.doc} for p in recipe.parameters.values()}
    lines = [f"  {name:<14} {fact['help']} (default: {fact['default']})" for name, fact in facts.items()]
    head = [f"{recipe.name}: {recipe.summary}", *([recipe.choice] if recipe.choice else [])]
    text = "\n".join([*head, "", *lines, "", f"lowerbound train {recipe.name} --help"])
    told = {"name": recipe.name, "summary": recipe.summary, "choice": recipe.choice}
    return Answer({**told, "arguments": facts}, text)


def _sources() -> Answer:
    from lowerbound.data.sources import SOURCES

    found = {name: {"summary": source.summary, "here": source.here} for name, source in SOURCES.items()}
    where = {True: "here", False: "fetched on first use"}
    lines = [f"{name:<14} {fact['summary']} ({where[bool(fact['here'])]})" for name, fact in found.items()]
    return Answer({"sources": found}, "\n".join(lines))


def _one_dataset(data: Dataset) -> Answer:
    spec = data.spec
    splits = ", ".join(f"{count:,} {name}" for name, count in spec.splits.items())
    condition = [f"  {'condition':<11} {_condition(spec.condition)}"] if spec.condition else []
    lines = [
        f"{spec.name}: {spec.count:,} rows ({splits}; split seed {spec.split_seed})",
        *(f"  {v.name:<11} {_values(v)}; {v.why}" for v in spec.variables),
        *condition,
        f"  fingerprint {spec.fingerprint}",
    ]
    facts: dict[str, Any] = {**spec.to_json(), "likelihood": spec.likelihood, "why": spec.why}
    return Answer(facts, "\n".join(lines))


def _condition(about: Variable) -> str:
    """What recipes such as cvae are told of these data."""
    if about.columns and about.kind == "category":
        return f"{len(about.columns)} labels to a row: {', '.join(about.columns)}"
    if about.labels:
        some = ", ".join(about.labels[:SHOWN])
        return f"{len(about.labels):,} labels: {some}{', …' if len(about.labels) > SHOWN else ''}"
    return _values(about) + (f"; texts under the encoder {about.encoder}" if about.encoder else "")


def _values(variable: Variable) -> str:
    shape = "×".join(map(str, variable.shape)) or "one"
    some = ", some missing" if variable.missing else ""
    return f"{shape} {variable.kind}, {variable.low:g} to {variable.high:g}{some}"
