"""The verb sound: WAV in, WAV out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

import tyro

from lowerbound.arguments import Count, conformed
from lowerbound.cli.condition import Condition
from lowerbound.cli.output import refuse_ending, refuse_existing
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lowerbound.data.sound.spectrogram import Form
    from lowerbound.data.sound.wav import Sound as Heard
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Sound(OfRun):
    """Take a sound through a model of sounds, go from one to another, or draw new ones; the answer is a WAV file.

    A sound of any length is cut into clips as long as those that the model knows; each is encoded and decoded, and the
    phases that spectrograms lack are found by Griffin and Lim's way. A sound of another rate is resampled. Of several
    sounds --out names a .wav, in which they follow one another, a .png of their spectrograms, or without an ending a
    folder for a WAV of each.
    """

    source: Annotated[Path | None, tyro.conf.arg(name="in")] = None
    """A sound to reconstruct: .wav, or with the extra audio .flac, .ogg or .mp3."""
    between: tuple[Path, Path] | None = None
    """Two sounds, to go from the one to the other."""
    sample: int | None = None
    """How many new clips to draw."""
    steps: int = 5
    """Sounds on the way between two, these included."""
    kind: Literal["linear", "spherical"] = "spherical"
    """The straight line between codes, or the arc on which the prior has its mass."""
    seed: int = 0
    """Fixes what is drawn, and the phases to start from."""
    iterations: int = 100
    """Steps of Griffin and Lim's way."""
    out: Path
    """File to write: .wav or .png; or a folder."""
    force: Switch = False
    """Replace the file if it is there."""
    condition: Flat[Condition] = field(default=Condition())

    def answer(self) -> Answer:
        self._check()
        model = self.condition.tell(self.open())
        levels, facts = self._made(model)
        self._write(model, levels)
        return Answer({**facts, "count": len(levels), "out": str(self.out)}, _words(facts, self.out, len(levels)))

    def _check(self) -> None:
        if sum(each is not None for each in (self.source, self.between, self.sample)) != 1:
            raise InputError("say what to make: --in a.wav, --between a.wav b.wav, or --sample 10; one of them")
        conformed("iterations", self.iterations, Count)
        refuse_ending(self.out, [".wav", ".png", ""])
        refuse_existing(self.out, self.force)

    def _made(self, model: Fitted) -> tuple[np.ndarray, dict[str, Any]]:
        """Decibels (S, bins, T), and what there is to say of the sounds that they were made of."""
        from lowerbound.data.sound.wav import read_sound
        from lowerbound.evaluation import sounds

        form = sounds.form_of(model)
        if self.sample is not None:
            return sounds.sampled(model, self.sample, self.seed), {"rate": form.rate}
        given = [read_sound(path) for path in (self.between or (self.source,)) if path]
        facts = _facts(form, given)
        if self.between:
            return sounds.between(model, given[0], given[1], self.steps, self.kind), facts
        frames = -(-len(given[0].resampled(form.rate).samples) // form.hop)
        return sounds.reconstructed(model, given[0])[None, :, :frames], facts

    def _write(self, model: Fitted, levels: np.ndarray) -> None:
        from lowerbound.evaluation.sounds import form_of

        form = form_of(model)
        if self.out.suffix == ".png":
            _draw(self.out, form, levels)
        else:
            self._speak(form, levels)

    def _speak(self, form: Form, levels: np.ndarray) -> None:
        from lowerbound.data.sound.inversion import Inversion
        from lowerbound.data.sound.wav import write_wav
        from lowerbound.evaluation import sounds

        found = sounds.audible(form, levels, Inversion(self.iterations, seed=self.seed))
        if self.out.suffix:
            write_wav(self.out, sounds.in_turn(found))
        else:
            for number, sound in enumerate(found):
                write_wav(self.out / f"{number}.wav", sound)


def _draw(path: Path, form: Form, levels: np.ndarray) -> None:
    """One spectrogram above another, high frequencies at the top."""
    from lowerbound.plots import grid, write_png

    write_png(path, grid(levels[:, ::-1], form.floor, levels.max(), columns=1))


def _facts(form: Form, given: list[Heard]) -> dict[str, Any]:
    """Rate and length, and from which rate what was given had to be brought to it."""
    other = [sound.rate for sound in given if sound.rate != form.rate]
    told = {"resampled_from": other} if other else {}
    return {"rate": form.rate, "seconds": [round(sound.seconds, 3) for sound in given], **told}


def _words(facts: dict[str, Any], out: Path, count: int) -> str:
    """The answer for people.

    >>> _words({"rate": 8000, "resampled_from": [44100]}, Path("b.wav"), 1)
    'wrote b.wav: 1 sound of 8,000 samples a second, resampled from 44,100'
    """
    rates = " and ".join(f"{rate:,}" for rate in facts.get("resampled_from", []))
    sounds = f"{count} sound{'' if count == 1 else 's'} of {facts['rate']:,} samples a second"
    return f"wrote {out}: {sounds}{f', resampled from {rates}' if rates else ''}"
