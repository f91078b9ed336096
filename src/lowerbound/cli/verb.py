"""What the verbs of the command have in common: options, the answer, and how it is shown."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes as Flat  # a group of options is written without the group's name
from tyro.conf import Positional as Named  # an argument is given by its place

if TYPE_CHECKING:
    from lowerbound.fitted import Fitted

Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
"""An option that is given or not."""


__all__ = ["Answer", "Common", "Flat", "Named", "OfRun", "Switch", "Verb"]


@dataclass(frozen=True)
class Answer:
    """What a verb found or did: `data` for programs (--json), `text` for people."""

    data: dict[str, Any]
    text: str

    def show(self, common: Common) -> None:
        """Print the answer to stdout in the form asked for."""
        if common.json:
            print(json.dumps(self.data, ensure_ascii=False, allow_nan=False))
        elif not common.quiet:
            print(self.text)


@dataclass(frozen=True)
class Common:
    """Options of every verb."""

    json: Switch = False
    """Print one JSON object to stdout instead of text."""
    quiet: Switch = False
    """Print no text and no progress."""
    debug: Switch = False
    """Show the traceback of an error."""


@dataclass(frozen=True, kw_only=True)
class Verb(ABC):
    """A verb of the command; its fields are its arguments."""

    common: Flat[Common] = field(default=Common())

    @abstractmethod
    def answer(self) -> Answer:
        """Do the work; progress goes to stderr, refusals are raised as `LowerboundError`."""


@dataclass(frozen=True, kw_only=True)
class OfRun(Verb):
    """A verb that asks something of a trained run."""

    run: Named[Path]
    """Folder of a trained run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""

    def open(self) -> Fitted:
        """The run's model."""
        from lowerbound.fitting import load

        return load(self.run, self.device)
