"""The verb cluster: which group each row is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from lowerbound.cli.drawing import picture
from lowerbound.cli.generate import columns, listed
from lowerbound.cli.output import Output
from lowerbound.cli.selection import Which, arrays, labelled, labels
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch

if TYPE_CHECKING:
    from lowerbound.data.rows import Rows
    from lowerbound.evaluation.clustering import Clusters
    from lowerbound.fitted import Fitted


@final
@dataclass(frozen=True, kw_only=True)
class Cluster(OfRun):
    """Say which of the model's clusters each row is of; beside labels, how well the two agree.

    For a model whose prior is a mixture (vade, gmvae, vae with prior mixture, a plain autoencoder's density of codes)
    or whose latent is one of a few values. Accuracy is under the best one-to-one matching of clusters to labels; the
    labels serve for nothing else.
    """

    rows: Flat[Which] = field(default=Which())
    particles: int = 100
    """Draws of z a row, over which the cluster's probability is averaged."""
    seed: int = 0
    """Fixes the draws."""
    out: Path | None = None
    """File for each row's cluster and the probability of every cluster: .npz, .csv or .parquet."""
    samples: Path | None = None
    """Picture (.png), or data (.npy, .npz, …), of new data of each cluster; in a picture a row for each."""
    across: int = 12
    """New data of each cluster."""
    force: Switch = False
    """Replace files that are there."""

    def answer(self) -> Answer:
        outputs = self._checked()
        model = self.open()
        rows = self.rows.of(model)
        found = model.clusters(arrays(rows), self.particles, self.seed)
        if "out" in outputs:
            outputs["out"].write({"row": rows.numbers, "cluster": found.labels, "p": found.responsibilities})
        if "samples" in outputs:
            self._draw(model, outputs["samples"])
        figures = {"count": rows.count, **sizes(found), **agreed(rows, found)}
        facts = {name: str(each.out) for name, each in outputs.items()}
        return Answer(
            {**figures, **facts}, "\n".join([*in_words(figures), *(f"wrote {each}" for each in facts.values())])
        )

    def _checked(self) -> dict[str, Output]:
        """The files to write, by the option's name."""
        asked = {"out": self.out, "samples": self.samples}
        outputs = {name: Output(path, self.force) for name, path in asked.items() if path}
        for name, each in outputs.items():
            each.check(pictures=name == "samples")
        return outputs

    def _draw(self, model: Fitted, output: Output) -> None:
        x = {name: listed(values) for name, values in columns(model, model.sample_clusters(self.across)).items()}
        output.write(x, lambda: picture(model, x, across=self.across))


def sizes(found: Clusters) -> dict[str, Any]:
    """How many rows are of each cluster, and how sure the model is of them: the mean probability of the likeliest."""
    import numpy as np

    counts = np.bincount(found.labels, minlength=found.responsibilities.shape[1])
    return {"clusters": counts.tolist(), "certainty": float(found.responsibilities.max(1).mean())}


def agreed(rows: Rows, found: Clusters) -> dict[str, Any]:
    """How the clusters agree with labels, where the rows have one each."""
    if not labelled(rows):
        return {}
    from lowerbound.evaluation.clustering import agreement, matching

    names = labels(rows)
    return {**agreement(names, found.labels), "matching": {str(k): name for k, name in matching(names, found.labels)}}


def in_words(figures: dict[str, Any]) -> list[str]:
    """The figures on a few lines."""
    head = f"{figures['count']:,} rows in {len(figures['clusters'])} clusters, certainty {figures['certainty']:.3f}"
    names, agreement = figures.get("matching", {}), "accuracy {accuracy:.2%}, NMI {nmi:.4f}, ARI {ari:.4f}"
    each = [f"  {k:>3}  {size:>7,}  {names.get(str(k), '')}".rstrip() for k, size in enumerate(figures["clusters"])]
    return [head, *each, *([agreement.format(**figures)] if names else [])]
