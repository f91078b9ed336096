"""Verbs between a first stage and what works in its latents: latents, export, import."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from lowerbound.cli.output import Output
from lowerbound.cli.selection import Which, arrays, few
from lowerbound.cli.verb import Answer, Flat, Named, OfRun, Switch, Verb

if TYPE_CHECKING:
    from lowerbound.data.rows import Rows
    from lowerbound.evaluation.latents import Latents
    from lowerbound.fitted import Fitted

ROWS_MEASURED = 2048
"""Rows that a scale is measured on where all that is wanted is the scale."""


@final
@dataclass(frozen=True, kw_only=True)
class LatentsOf(OfRun):
    """Write the latents of data in their own shape, for another model to work in, and say what their scale is.

    A .npy file holds z alone, (N, h, w, c), and is data for another recipe as it stands: lowerbound train flow-matching
    --data latents.npy. What that draws, the verb decode turns into pictures.
    """

    draw: Switch = False
    """Draw z from q(z|x), in place of its mean."""
    seed: int = 0
    """Fixes what is drawn."""
    rows: Flat[Which] = field(default=Which(split="all"))
    output: Flat[Output]

    def answer(self) -> Answer:
        from lowerbound.randomness import isolated, reseed

        self.output.check(pictures=False)
        model = self.open()
        rows = self.rows.of(model)
        with isolated(model.device):
            reseed(model.device, self.seed)
            found = measured(model, rows, self.draw)
        self.output.write({"z": found.z, "row": rows.numbers})
        facts = {"count": len(found.z), "shape": list(found.z.shape[1:]), "mean": found.mean, "scale": found.scale}
        return Answer({**facts, "out": str(self.output.out)}, f"wrote {self.output.out}; scale {found.scale:.5g}")


@final
@dataclass(frozen=True, kw_only=True)
class Export(OfRun):
    """Write a first stage's weights, and the scale of its latents, where diffusers' AutoencoderKL reads them."""

    to: Literal["diffusers"] = "diffusers"
    """Whose form."""
    out: Path
    """New folder."""
    rows: Flat[Which] = field(default=Which(split="train"))

    def answer(self) -> Answer:
        from lowerbound.run import diffusers

        diffusers.require_vacant(self.out)
        model = self.open()
        diffusers.halves(model.setup.model)
        scale = measured(model, few(self.rows.of(model), ROWS_MEASURED)).scale
        layout = diffusers.written(model.setup, self.out, model.spec.variables[0].shape[0], scale)
        return Answer({**layout.to_json(), "out": str(self.out)}, f"wrote {self.out}; scaling_factor {scale:.5g}")


@final
@dataclass(frozen=True, kw_only=True)
class Import(Verb):
    """Make a run of a folder of diffusers' AutoencoderKL; the likelihood's width is measured on the data."""

    folder: Named[Path]
    """The folder, with config.json and diffusion_pytorch_model.safetensors."""
    data: str
    """Pictures that the model is for: a file, a folder or a named data set."""
    out: Path
    """New folder for the run."""

    def answer(self) -> Answer:
        from lowerbound.data.dataset import load_data
        from lowerbound.data.reading import reading_of
        from lowerbound.run import diffusers

        run = diffusers.imported(self.folder, self.out, load_data(self.data), reading_of(self.data, None, None))
        return Answer({"run": str(run.path), "recipe": run.record.recipe}, f"made {run.path} of {self.folder}")


def measured(model: Fitted, rows: Rows, draw: bool = False) -> Latents:
    """The latents of rows, and their scale."""
    from lowerbound.evaluation import rawdata
    from lowerbound.evaluation.latents import Latents

    batches = (batch.to(model.device) for batch in rawdata.batches(model.spec, arrays(rows)))
    return Latents.of(model.setup, batches, draw)
