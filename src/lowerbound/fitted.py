"""A trained model and what can be asked of it: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch

from lowerbound.arguments import Count, conformed
from lowerbound.data.arrays import as_array
from lowerbound.data.dataset import Dataset
from lowerbound.data.reading import read_alike, require_alike
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.evaluation import codes, likelihoods, making, metrics, rawdata
from lowerbound.evaluation.annealing import USUAL_WALK, Walk, sandwiched
from lowerbound.evaluation.anomaly import detections, scores
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.attributes import Direction, direction
from lowerbound.evaluation.clustering import Clusters, responsibilities
from lowerbound.evaluation.completion import USUAL_COMPLETION, Completed, Completing, complete
from lowerbound.evaluation.disentanglement import disentanglement
from lowerbound.evaluation.gap import USUAL, Effort, gap
from lowerbound.evaluation.imputation import USUAL_MANNER, Imputed, Manner, imputed, tolerant
from lowerbound.evaluation.imputation import joined as completed
from lowerbound.evaluation.infill import USUAL_INFILLING, Infilled, Infilling, infill
from lowerbound.evaluation.labelling import Labelled, labelled_by
from lowerbound.evaluation.perdatum import Particles
from lowerbound.evaluation.probes import labelled, plain, probe
from lowerbound.evaluation.rawdata import Array, Values
from lowerbound.evaluation.translation import translated
from lowerbound.evaluation.traversals import Traversal, traversed
from lowerbound.evaluation.watching import Watch, watched
from lowerbound.files import copy_folder
from lowerbound.precision import Precision, products
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import Run, modules_of


@final
class Fitted:
    """A model with its trained weights, and the verbs.

    Arrays go in and come out on the data's own scale; rows that go in are checked against the description of the data
    that the model was made for. The same call gives the same numbers: what is random is drawn from the `seed` given,
    and torch's own generator is left as it was.

    setup: what a recipe makes, or one of your own parts. spec: the data's description. run: the folder it came from.
    data: what `evaluate` looks at when it is given nothing else.

    >>> import lowerbound
    >>> model = lowerbound.train("vae", "digits", epochs=1, latent=2, hidden=[8])
    >>> model.sample(3).shape
    (3, 8, 8)
    """

    def __init__(self, setup: Setup, spec: DataSpec, run: Run | None = None, data: Dataset | None = None) -> None:
        modules_of(setup).eval()
        self.setup, self.spec, self.run, self._data = setup, spec, run, data
        self._asking = Asking(setup, spec)
        self._origin: Fitted | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._asking.device

    @property
    def usual(self) -> bool:
        """Whether rows of data are told their own conditions, where they have some, and not what `given` said."""
        return self._asking.own

    def given(self, condition: Any) -> Fitted:
        """The same model told something: its verbs are then of p(x|z,c), q(z|x,c) and log p(x|c).

        condition: a label as the data have it, a vector, a picture or a text; of several labels to a row a mapping of
        each column to its code; one for all rows, or a sequence of one a row. Rows of data (see `rows`) stand for what
        each of them has. None tells nothing, to which a model answers that was trained to (with drop); so do the verbs
        on arrays where this is not asked for, while those on data (`evaluate`, `gap`) tell each row its own.

        Raises:
            InputError: the model is shown no condition, or no such one.
        """
        other = Fitted(self.setup, self.spec, self.run, self._data)
        other._asking = self._asking.told(condition)
        other._origin = self  # whose end is the end of a run without a folder of its own
        return other

    @property
    def labels(self) -> tuple[str, ...]:
        """What the labels are called that the model is told, in the order of `sample_each`.

        Raises:
            InputError: a model that is told no labels.
        """
        return making.labels_of(self._asking)

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data: z ~ p(z), then E[x|z], or with mean=False a draw of p(x|z)."""
        return making.sampled(self._asking, _positive("the number of samples", n), seed, mean)

    def sample_each(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data under each of the C labels that the model is told, as `sample` draws them, (C, n, ...).

        The j-th of each label is made from the same draw of z (with a learned prior: of its noise), so down a column
        what is left in z once the label is known stays, and the label alone changes. In the order of the labels.

        Raises:
            InputError: a model that is told no labels.
        """
        return making.sampled_each(self._asking, _positive("the number of samples", n), seed, mean)

    def sample_clusters(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data of each of the model's C clusters, as `sample` draws them, (C, n, ...).

        Raises:
            InputError: a model without clusters to draw from.
        """
        return making.sampled_clusters(self._asking, _positive("the number of samples", n), seed, mean)

    def variations(self, x: Values, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n data like each row of x, (N, n, ...): z ~ q(z|x), then E[x|z], or with mean=False a draw of p(x|z)."""
        return making.variations(self._asking, x, _positive("the number of variations", n), seed, mean)

    def clusters(self, x: Values, particles: int = 100, seed: int = 0) -> Clusters:
        """Which of the model's clusters each row is of: `labels` (N,), and p(k|x) of each, `responsibilities` (N, C).

        particles: draws of z a row, over which p(k|z) is averaged. See `evaluation.clustering`.

        Raises:
            InputError: a model without clusters.
        """
        count, model = _positive("particles", particles), self.setup.model
        with self._asking.drawing(seed, "clusters"):
            return Clusters.of(torch.cat([responsibilities(model, seen, count) for seen in self._asking.steady(x)]))

    def classify(
        self, x: Values, particles: Particles = 100, shares: Sequence[float] | None = None, seed: int = 0
    ) -> Labelled:
        """Which of the labels that the model is told each row has: p(c|x) ∝ p(c) p(x|c), and log Σ_c p(c) p(x|c).

        particles: draws of z a row and label, for log p(x|c) by importance sampling. shares: p(c) in the order of the
        labels, by default equal. See `evaluation.labelling.Labelled`.

        Raises:
            InputError: a model that is told no labels, or gives no bound on log p(x|c).
        """
        log_p = [self.given(name).log_prob(x, particles, seed) for name in self.labels]
        return labelled_by(self.labels, np.stack(log_p, 1), shares)

    @property
    def width(self) -> int:
        """Numbers in a code."""
        return self._asking.layout().width

    def encode(self, x: Values) -> Array:
        """E[z|x], (N, D); no chance is in it, and a row's code does not depend on the rows beside it.

        A latent of any shape, and several of them (a ladder's layers), are laid out in one row; `decode` takes them
        back. A model of binarised pictures is shown the grey values themselves, the mean of what it was trained on.
        """
        return making.encoded(self._asking, x)

    def decode(self, z: Array) -> Values:
        """E[x|z] of codes (N, D)."""
        return making.decoded(self._asking, z)

    def decode_each(self, z: Array) -> Values:
        """E[x|z] of codes (N, D) under each of the C labels that the model is told, (C, N, ...), in their order.

        Raises:
            InputError: a model that is told no labels.
        """
        return making.decoded_each(self._asking, z)

    def reconstruct(self, x: Values) -> Values:
        """E[x|z] at z = E[z|x]."""
        return self.decode(self.encode(x))

    def interpolate(
        self, a: Values, b: Values | None = None, steps: int = 10, kind: Literal["linear", "spherical"] = "spherical"
    ) -> Values:
        """Data along a path between the codes of two data, each without a dimension of rows; (steps, ...).

        Given two conditions, a is told the first and b the second, and between them the condition moves in a straight
        line; without b it moves alone, and the code stays.
        """
        return making.between(self._asking, a, b, steps, kind)

    def traverse(
        self,
        x: Values | codes.Spread,
        start: Values | None = None,
        dims: Sequence[int] | None = None,
        steps: int = 9,
        reach: float = 2.0,
    ) -> Traversal:
        """Latent traversals: data decoded as one dimension of a code runs over its range and the others stay.

        x: the data that say what the range is: centre ± reach · scale of their codes; or their `spread`, where that is
        of data told otherwise. start: a datum, without a dimension of rows, to leave; by default the centre. dims:
        which dimensions; by default the ten most active ones. Irina Higgins et al., "beta-VAE: learning basic visual
        concepts with a constrained variational framework", 2017.
        """
        spread = x if isinstance(x, codes.Spread) else self.spread(x)
        origin = spread.centre if start is None else torch.from_numpy(self.encode(rawdata.one_row(start))[0])
        return traversed(self._asking, spread, origin, dims, steps, reach)

    def spread(self, x: Values) -> codes.Spread:
        """Where the codes of these data lie, and how far apart, dimension by dimension."""
        with torch.no_grad():
            return codes.spread(self._asking.posteriors(x))

    def attribute(self, x: Values, labels: Any, target: Any, origin: Any = None) -> Direction:
        """The direction in which codes differ: from rows labelled `origin`, or all others, to those labelled `target`.

        labels: (N,). See `evaluation.attributes.direction`; `shift` goes along it.
        """
        return direction(self.encode(x), as_array(labels, "the labels"), target, origin)

    def shift(self, x: Values, along: Direction, strength: float = 1.0) -> Values:
        """The data decoded from their codes + strength · direction; at strength 0 their reconstructions."""
        return self.decode(along.shifted(self.encode(x), strength))

    def features(self, data: Any = None, rows: int = 10_000) -> dict[str, Any]:
        """How well classifiers read labels off the codes, off as many principal components, and off the values.

        data: anything that `load_data` takes, with labels; by default what the model was trained on. rows: at most so
        many of the training split, evenly spread. See `evaluation.probes.probe`.
        """
        found = self.dataset(data)
        x, labels = labelled(found, _positive("rows", rows))
        z = {split: self.encode(part) for split, part in x.items()}
        return {"data": found.spec.name, **probe(z, {split: plain(found.spec, x[split]) for split in x}, labels)}

    def disentanglement(self, data: Any = None, split: str = "test", seed: int = 0) -> dict[str, Any]:
        """How far each dimension of the code speaks of one known factor of the data; see `evaluation.disentanglement`.

        data: anything that `load_data` takes, with several labels to a row; by default what the model was trained on.
        """
        return disentanglement(self, data, split, seed)

    def scores(
        self, x: Values, particles: Particles = 100, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Array]:
        """How strange each row is to the model, (N,) by each score that the model has; higher is stranger.

        minus_log_p: −log p(x) by importance sampling, of which the rate, KL(q(z|x) ‖ p(z)), and the distortion,
        −E_q log p(x|z), are parts; nats of the data as given. error: squared error of the reconstruction.
        """
        figures = likelihoods.figures(self._asking, x, _draws("particles", particles), seed, watch)
        sign = {"log_p": 1.0, "distortion": -1.0}
        given = {name: value + sign.get(name, 0.0) * figures["volume"] for name, value in figures.items()}
        return scores({name: rawdata.to_array(value) for name, value in given.items()})

    def detect(self, x: Values, anomalous: Any, particles: Particles = 100, seed: int = 0) -> dict[str, Any]:
        """How well each score tells the rows marked anomalous (N,) from the others; see `evaluation.anomaly`."""
        marked = as_array(anomalous, "the marks").astype(bool)
        return detections(self.scores(x, particles, seed), marked)

    def log_prob(
        self,
        x: Values,
        particles: Particles = 1000,
        seed: int = 0,
        watch: Watch | None = None,
        precision: Precision = "fp32",
    ) -> Array:
        """log p(x) of each row by importance sampling, (N,) nats of the data as given; see `marginal`."""
        return self.marginal(x, particles, seed, watch, precision)["log_p"]

    def marginal(
        self,
        x: Values,
        particles: Particles = 1000,
        seed: int = 0,
        watch: Watch | None = None,
        precision: Precision = "fp32",
    ) -> dict[str, Array]:
        """log p(x) of each row by importance sampling, and how far it can be believed; (N,) each, by name.

        log_p: nats of the data as given. stderr, ess, khat, particles, believed: see `core.Marginal`. particles: draws
        a row; auto is as many as each takes (see `core.adaptive_log_marginal`). precision: of matrix products; bf16 is
        quicker where there are units for it (see docs/results.md for its error).

        Raises:
            InputError: the model gives no bound on log p(x) (a plain autoencoder).
        """
        with products(precision):
            return likelihoods.marginal(self._asking, x, _draws("particles", particles), seed, watch)

    def refined(
        self, x: Values, particles: Particles = 1000, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Array]:
        """The same as `marginal`, drawing from a posterior fitted to each row by itself.

        Many times the work, and weights of far lighter tails; see `evaluation.refining.refined_marginal`.

        Raises:
            InputError: the model gives no bound on log p(x), or its posterior is no Gaussian of one latent.
        """
        return likelihoods.refined(self._asking, x, _draws("particles", particles), seed, watch)

    def annealed(
        self, x: Values, walk: Walk = USUAL_WALK, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Array]:
        """log p(x) of each row by annealed importance sampling; (N,) each, by name.

        log_p: nats of the data as given. stderr, ess, acceptance: see `core.Annealed`. walk: how far the chains of each
        row walk. It is many times the work of importance sampling with as many particles as chains, and much closer to
        log p(x) where k̂ says that importance sampling is not to be believed.

        Raises:
            InputError: the model gives no bound on log p(x), or its latent has no gradients to follow.
        """
        return likelihoods.annealed(self._asking, x, walk, seed, watch)

    def sandwich(
        self, count: int = 100, walk: Walk = USUAL_WALK, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Any]:
        """Bounds on log p(x) of data that the model makes, from both sides; see `evaluation.annealing.sandwiched`."""
        return sandwiched(self._asking, _positive("count", count), walk, seed, watch)

    def impute(self, x: Values, manner: Manner = USUAL_MANNER, seed: int = 0, watch: Watch | None = None) -> Imputed:
        """Rows with NaN completed: what is missing at its mean given what was observed; see `evaluation.imputation`.

        x: rows as the model was trained on, whether or not it was trained on rows with missing values. manner: by how
        many particles, with how many draws of the whole row, and whether by mean or median.

        Raises:
            InputError: the model encodes to points.
        """
        manner.check()
        spec, parts = tolerant(self.spec), list[Imputed]()
        with self._asking.drawing(seed, "impute"):
            for stored in watched(rawdata.batches(spec, x, self._asking.c), watch):
                parts += imputed(self.setup, spec, stored.to(self.device), manner)
        return completed(parts)

    def complete(
        self,
        x: Values,
        observed: Any,
        manner: Completing = USUAL_COMPLETION,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> Completed:
        """Rows with part of them hidden, completed several times; see `evaluation.completion.complete`."""
        return complete(self._asking, x, observed, manner, seed, watch)

    def infill(
        self,
        texts: Any,
        truth: Any = None,
        manner: Infilling = USUAL_INFILLING,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> Infilled:
        """Texts with gaps filled, several times; see `evaluation.infill.infill`."""
        return infill(self._asking, texts, truth, manner, seed, watch)

    def translate(
        self, x: Mapping[str, Array], given: Sequence[str], to: str, count: int = 1, seed: int = 0, mean: bool = True
    ) -> Array:
        """One variable of each row told from others, (N, count, ...); see `evaluation.translation.translated`."""
        return translated(self._asking, x, given, to, _positive("count", count), seed, mean)

    def volumes(self, x: Values) -> Array:
        """What is added to log p of each row as the model sees it for that of the row as given, (N,) nats."""
        return rawdata.to_array(likelihoods.volumes(self._asking, x))

    def evaluate(
        self,
        data: Any = None,
        split: str = "test",
        particles: Particles = 5000,
        seed: int = 0,
        watch: Watch | None = None,
        precision: Precision = "fp32",
    ) -> dict[str, Any]:
        """All figures on a split, as JSON values; see `evaluation.metrics.evaluate`.

        data: anything that `load_data` takes; by default what the model was trained on. precision: as of `log_prob`.
        A model that is told something is told each row's own condition (see `given`); told says what it was.
        """
        rows = self.rows(data, split)
        with products(precision):
            asked = self._asking.under(rows)
            figures = metrics.evaluate(self.setup, asked, _draws("particles", particles), seed, watch)
        return {**self._made_of(rows, split), "precision": precision, **figures}

    def gap(
        self,
        data: Any = None,
        split: str = "test",
        count: int = 100,
        effort: Effort = USUAL,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> dict[str, Any]:
        """What the encoder's bound lacks of log p(x), and why, on the first rows of a split; see `evaluation.gap.gap`.

        data: as of `evaluate`. count: rows. effort: how much is spent on each; see `evaluation.gap.Effort`.
        """
        rows = self.rows(data, split).where(slice(_positive("count", count)))
        return {**self._made_of(rows, split), **gap(self.setup, self._asking.under(rows), effort, seed, watch)}

    def rows(self, data: Any = None, split: str = "test") -> Rows:
        """The train, validation or test split of data for this model, or all of them; see `dataset`."""
        found = self.dataset(data)
        if split == "all":
            return Rows(found.spec, found.arrays, found.condition, np.arange(found.spec.count))
        return found.split(split)

    def dataset(self, source: Any = None) -> Dataset:
        """Data for this model: `source`, which must be of its kind; by default what it was trained on.

        Raises:
            InputError: data of another kind or shape; or no source, and the data are not at hand or have changed.
        """
        if source is None:
            self._data = self._data or self._recorded_data()
            return self._data
        data = read_alike(self.spec, self.run and self.run.record.reading, source)
        require_alike(data.spec, self.spec)
        return data

    def save(self, path: str | Path) -> None:
        """Keep the run's folder at `path`, where `load` finds it.

        Raises:
            InputError: something is there already, or the model did not come from a recipe.
        """
        if self.run is None:
            raise InputError("a model of your own parts has no recipe to load it by; save its state_dict instead")
        copy_folder(self.run.path, Path(path), ignore="checkpoints")

    def _recorded_data(self) -> Dataset:
        if self.run is None or self.run.record.reading is None:
            raise InputError("the model was trained on arrays in memory; say which data to use")
        data = read_alike(self.spec, self.run.record.reading)
        self.run.require_data(data.spec)
        return data

    def _made_of(self, rows: Rows, split: str) -> dict[str, str]:
        """What figures are of."""
        made_of = {"data": rows.spec.name, "fingerprint": rows.spec.fingerprint, "split": split}
        return {**made_of, **self._asking.in_words(rows)}


def _draws(what: str, value: object) -> Particles:
    count: Particles = conformed(what, value, Count | Literal["auto"])
    return count


def _positive(what: str, value: int) -> int:
    count: int = conformed(what, value, Count)
    return count
