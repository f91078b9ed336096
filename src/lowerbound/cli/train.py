"""The verb train: its options are the recipe's arguments and the settings of training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, final

import tyro

from lowerbound.cli.verb import Answer, Common, Flat, Named, Switch, Verb
from lowerbound.run.settings import Options

if TYPE_CHECKING:
    from lowerbound.fitted import Fitted
    from lowerbound.recipes import Recipe
    from lowerbound.training.progress import Progress


@dataclass(frozen=True)
class NoArguments:
    """The arguments of a recipe that is not named yet."""


Arguments = TypeVar("Arguments")


@final
@dataclass(frozen=True, kw_only=True)
class Train(Verb, Generic[Arguments]):
    """Train a recipe's model and leave a run: the folder that the other verbs open.

    Besides the options below each recipe has its own; see: lowerbound train RECIPE --help

    An interrupted training goes on, to the same numbers, with: lowerbound train --resume RUN
    """

    recipe: Named[Annotated[str, tyro.conf.arg(metavar="RECIPE")]]
    """What to train, such as vae; see: lowerbound recipes"""
    data: str
    """A file, a folder of pictures, sounds or demonstrations, or a named data set; see: lowerbound data"""
    out: Path
    """New folder for the run."""
    kind: Literal["binary", "byte", "unit", "real", "count", "category", "characters", "words"] | None = None
    """What the values are, where the guess from type and range is wrong."""
    labels: str | None = None
    """The column of a table, or the array of an npz, that labels the rows: whole numbers or text, rows of floats, or
    pictures. It is kept out of what is modelled; recipes such as cvae are told it. Named sets have labels already."""
    missing: Switch = False
    """Take NaN and the empty cells of a table for values that were not observed."""
    text: str | None = None
    """Text encoder under which captions are told to the model: minilm, words-zh, both joined by +, hash or a folder."""
    model: Flat[Arguments]
    training: Flat[Options] = field(default=Options())

    def answer(self) -> Answer:
        from lowerbound import fitting

        given = {**asdict(self.model), **asdict(self.training)}  # type: ignore[call-overload]
        given |= {"kind": self.kind, "labels": self.labels, "missing": self.missing, "text": self.text}
        given["progress"] = _progress(self.common)
        return _trained(fitting.train(self.recipe, self.data, self.out, **given))


@final
@dataclass(frozen=True, kw_only=True)
class Resume(Verb):
    """Go on with a training that was interrupted, with the settings that it was begun with."""

    resume: Path
    """Folder of the run."""

    def answer(self) -> Answer:
        from lowerbound import fitting

        return _trained(fitting.resume(self.resume, progress=_progress(self.common)))


def kind(args: Sequence[str]) -> type[Verb]:
    """What a command line after `train` is: a resumption, or the training of the recipe that stands first."""
    if any(arg.partition("=")[0] == "--resume" for arg in args):
        return Resume
    return Train[NoArguments] if not args or args[0].startswith("-") else _of(args[0])


def _of(recipe: str) -> type[Verb]:
    from lowerbound import recipes

    return Train[arguments_of(recipes.get(recipe))]  # type: ignore[misc, return-value]


def arguments_of(recipe: Recipe) -> type[Any]:
    """A recipe's arguments as a dataclass, which is what options are made of."""
    fields = [(p.name, Annotated[p.hint, tyro.conf.arg(help=p.doc)], p.default) for p in recipe.parameters.values()]
    return make_dataclass("Arguments", fields, frozen=True, namespace={"__doc__": f"Arguments of {recipe.name}."})


def _progress(common: Common) -> Progress:
    from lowerbound.training.progress import Silent, shown_on

    return Silent() if common.quiet else shown_on(sys.stderr)


def _trained(model: Fitted) -> Answer:
    assert model.run is not None  # it has just been trained into one
    record, path = model.run.record, str(model.run.path)
    facts = {"run": path, "recipe": record.recipe, "state": record.state, **(record.result or {})}
    score = facts.get("validation_objective")
    text = f"trained {record.recipe} into {path}" + (f"; validation objective {score:.2f}" if score else "")
    return Answer(facts, f"{text}\nnext: lowerbound evaluate {path}")
