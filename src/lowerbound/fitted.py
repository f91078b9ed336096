"""A trained model and what can be asked of it: arrays in, arrays out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.core import Batch, Marginal, Model
from lowerbound.core.marginal import joined
from lowerbound.data.arrays import as_array
from lowerbound.data.checks import checked_array
from lowerbound.data.dataset import Dataset
from lowerbound.data.reading import read_alike
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.evaluation import codes, conditions, metrics, perdatum, rawdata
from lowerbound.evaluation.annealing import USUAL_WALK, Walk, annealed, sandwiched
from lowerbound.evaluation.anomaly import detections, scores
from lowerbound.evaluation.attributes import Direction, direction
from lowerbound.evaluation.clustering import Clusters, responsibilities, restricted
from lowerbound.evaluation.disentanglement import disentanglement
from lowerbound.evaluation.gap import USUAL, Effort, gap
from lowerbound.evaluation.imputation import USUAL_MANNER, Imputed, Manner, imputed, tolerant
from lowerbound.evaluation.imputation import joined as completed
from lowerbound.evaluation.paths import axes
from lowerbound.evaluation.paths import path as path_between
from lowerbound.evaluation.perdatum import Particles
from lowerbound.evaluation.probes import labelled, plain, probe
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, Array
from lowerbound.evaluation.refining import refined_marginal
from lowerbound.evaluation.translation import translated
from lowerbound.evaluation.watching import Watch, watched
from lowerbound.precision import Precision, products
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes.registry import Setup
from lowerbound.run.folder import Run, modules_of

SHOWN_DIMENSIONS = 10
"""Dimensions that a traversal shows unless told which."""

Values = Array | Mapping[str, Array]
"""An array with a row a datum; for a model of several variables, an array for each by name."""


class Traversal(NamedTuple):
    """What becomes of one code as one dimension after another leaves it.

    x: data, (R, S, ...) of each variable: in row r dimension dims[r] takes its S values, the others stay. dims: (R,).
    values: (R, S), those values.
    """

    x: Values
    dims: tuple[int, ...]
    values: Array


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
        self._c: Tensor | None = None
        self._origin: Fitted | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return rawdata.device_of(self.setup)

    def given(self, condition: Any) -> Fitted:
        """The same model told something: its verbs are then of p(x|z,c), q(z|x,c) and log p(x|c).

        condition: a label as the data have it, a vector or a picture; one for all rows, or a sequence of one a row.
        None tells nothing, as does not asking for this, to which a model answers that was trained to (with drop).

        Raises:
            InputError: the model is shown no condition, or no such one.
        """
        told = self.setup.condition
        if told is None:
            raise InputError("the model is told nothing but x; train one that is, such as cvae, on data with labels")
        other = Fitted(self.setup, self.spec, self.run, self._data)
        other._c = None if condition is None else conditions.stored(told.variable, condition).to(self.device)
        other._origin = self  # whose end is the end of a run without a folder of its own
        return other

    def sample(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data: z ~ p(z), then E[x|z], or with mean=False a draw of p(x|z)."""
        with self._drawing(seed, "sample"):
            return self._generated(self.setup.model, _positive("the number of samples", n), mean)

    def sample_clusters(self, n: int, seed: int = 0, mean: bool = True) -> Values:
        """n new data of each of the model's C clusters, as `sample` draws them, (C, n, ...).

        Raises:
            InputError: a model without clusters to draw from.
        """
        with self._drawing(seed, "sample"):
            each = [self._generated(only, _positive("the number of samples", n), mean) for only in self._restricted()]
        return _each(_joined(each), lambda rows: _in_rows(rows, n))

    def clusters(self, x: Values, particles: int = 100, seed: int = 0) -> Clusters:
        """Which of the model's clusters each row is of: `labels` (N,), and p(k|x) of each, `responsibilities` (N, C).

        particles: draws of z a row, over which p(k|z) is averaged. See `evaluation.clustering`.

        Raises:
            InputError: a model without clusters.
        """
        count = _positive("particles", particles)
        with self._drawing(seed, "clusters"):
            seen = (self.setup.steady(batch.to(self.device)) for batch in self._batches(x))
            return Clusters.of(torch.cat([responsibilities(self.setup.model, part, count) for part in seen]))

    def encode(self, x: Values) -> Array:
        """E[z|x], (N, D); no chance is in it, and a row's code does not depend on the rows beside it.

        A latent of any shape, and several of them (a ladder's layers), are laid out in one row; `decode` takes them
        back. A model of binarised pictures is shown the grey values themselves, the mean of what it was trained on.
        """
        with torch.no_grad():
            parts = [codes.matrix(codes.means(q)) for q in self._posteriors(x)]
        return rawdata.to_array(torch.cat(parts))

    def decode(self, z: Array) -> Values:
        """E[x|z] of codes (N, D)."""
        layout = self._layout()
        parts = self._codes(z, layout.width).split(ROWS_AT_ONCE)
        with torch.no_grad():
            px = (self.setup.model.decode(layout.latents(part), c) for part, c in zip(parts, self._told(parts)))
            return rawdata.joined([rawdata.means(self.setup, self.spec, part) for part in px])

    def reconstruct(self, x: Values) -> Values:
        """E[x|z] at z = E[z|x]."""
        return self.decode(self.encode(x))

    def interpolate(
        self, a: Values, b: Values, steps: int = 10, kind: Literal["linear", "spherical"] = "spherical"
    ) -> Values:
        """Data along a path between the codes of two data, each without a dimension of rows; (steps, ...)."""
        start, end = (torch.from_numpy(self.encode(_one_row(datum))[0]) for datum in (a, b))
        return self.decode(path_between(start, end, steps, kind).numpy())

    def traverse(
        self,
        x: Values,
        start: Values | None = None,
        dims: Sequence[int] | None = None,
        steps: int = 9,
        reach: float = 2.0,
    ) -> Traversal:
        """Latent traversals: data decoded as one dimension of a code runs over its range and the others stay.

        x: the data that say what the range is: centre ± reach · scale of their codes (see `evaluation.codes.Spread`).
        start: a datum, without a dimension of rows, to leave; by default the centre. dims: which dimensions; by default
        the ten most active ones. Irina Higgins et al., "beta-VAE: learning basic visual concepts with a constrained
        variational framework", 2017.
        """
        spread = self.spread(x)
        chosen = _chosen(spread.order[:SHOWN_DIMENSIONS] if dims is None else dims, len(spread.centre))
        offsets = torch.linspace(-reach, reach, _positive("steps", steps), dtype=spread.centre.dtype)
        values = spread.centre[chosen, None] + offsets * spread.scale[chosen, None]
        origin = spread.centre if start is None else torch.from_numpy(self.encode(_one_row(start))[0])
        found = self.decode(axes(origin, chosen, values).flatten(0, 1).numpy())
        return Traversal(_each(found, lambda rows: _in_rows(rows, steps)), tuple(chosen), values.numpy())

    def spread(self, x: Values) -> codes.Spread:
        """Where the codes of these data lie, and how far apart, dimension by dimension."""
        with torch.no_grad():
            return codes.spread(self._posteriors(x))

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
        figures = self._figures(x, _draws("particles", particles), seed, watch)
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
        particles = _draws("particles", particles)
        with self._drawing(seed, "log_prob"), products(precision):
            found = [perdatum.marginal(self.setup.model, seen, particles) for seen in self._bounded(x, seed, watch)]
        return self._believed(found, x)

    def refined(
        self, x: Values, particles: Particles = 1000, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Array]:
        """The same as `marginal`, drawing from a posterior fitted to each row by itself.

        Many times the work, and weights of far lighter tails; see `evaluation.refining.refined_marginal`.

        Raises:
            InputError: the model gives no bound on log p(x), or its posterior is no Gaussian of one latent.
        """
        particles = _draws("particles", particles)
        with self._drawing(seed, "refined"):
            found = [refined_marginal(self.setup.model, seen, particles) for seen in self._bounded(x, seed, watch)]
        return self._believed(found, x)

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
        walk.check()
        with self._drawing(seed, "annealed"):
            found = [annealed(self.setup.model, seen, walk) for seen in self._bounded(x, seed, watch)]
        names = ("log_p", "stderr", "ess", "acceptance")
        return self._columns({name: torch.cat([getattr(part, name) for part in found]) for name in names}, x)

    def sandwich(
        self, count: int = 100, walk: Walk = USUAL_WALK, seed: int = 0, watch: Watch | None = None
    ) -> dict[str, Any]:
        """Bounds on log p(x) of data that the model makes, from both sides; see `evaluation.annealing.sandwiched`."""
        return sandwiched(self.setup, _positive("count", count), walk, seed, watch)

    def impute(self, x: Values, manner: Manner = USUAL_MANNER, seed: int = 0, watch: Watch | None = None) -> Imputed:
        """Rows with NaN completed: what is missing at its mean given what was observed; see `evaluation.imputation`.

        x: rows as the model was trained on, whether or not it was trained on rows with missing values. manner: by how
        many particles, with how many draws of the whole row, and whether by mean or median.

        Raises:
            InputError: the model encodes to points.
        """
        manner.check()
        spec, parts = tolerant(self.spec), list[Imputed]()
        with self._drawing(seed, "impute"):
            for stored in watched(rawdata.batches(spec, x, self._c), watch):
                parts += imputed(self.setup, spec, stored.to(self.device), manner)
        return completed(parts)

    def translate(
        self, x: Mapping[str, Array], given: Sequence[str], to: str, count: int = 1, seed: int = 0, mean: bool = True
    ) -> Array:
        """One variable of each row told from others, (N, count, ...); see `evaluation.translation.translated`."""
        with self._drawing(seed, "translate"):
            return translated(self.setup, self.spec, x, given, to, _positive("count", count), mean, self._c)

    def volumes(self, x: Values) -> Array:
        """What is added to log p of each row as the model sees it for that of the row as given, (N,) nats."""
        parts = [self.setup.volumes(batch) for batch in self._batches(x)]
        return rawdata.to_array(torch.cat(parts))

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
        """
        rows = self.rows(data, split)
        with products(precision):
            figures = metrics.evaluate(self.setup, rows, _draws("particles", particles), seed, watch)
        made_of = {"data": rows.spec.name, "fingerprint": rows.spec.fingerprint, "split": split}
        return {**made_of, "precision": precision, **figures}

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
        made_of = {"data": rows.spec.name, "fingerprint": rows.spec.fingerprint, "split": split}
        return {**made_of, **gap(self.setup, rows, effort, seed, watch)}

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
        for variable in self.spec.variables:
            _require_alike(data.spec.variable(variable.name), variable)
        return data

    def save(self, path: str | Path) -> None:
        """Keep the run's folder at `path`, where `load` finds it.

        Raises:
            InputError: something is there already, or the model did not come from a recipe.
        """
        if self.run is None:
            raise InputError("a model of your own parts has no recipe to load it by; save its state_dict instead")
        _copy_folder(self.run.path, Path(path))

    def _recorded_data(self) -> Dataset:
        if self.run is None or self.run.record.reading is None:
            raise InputError("the model was trained on arrays in memory; say which data to use")
        data = read_alike(self.spec, self.run.record.reading)
        self.run.require_data(data.spec)
        return data

    @contextmanager
    def _drawing(self, seed: int, purpose: str) -> Iterator[None]:
        with isolated(self.device), torch.no_grad():
            reseed(self.device, derive(seed, purpose))
            yield

    def _generated(self, model: Model, n: int, mean: bool) -> Values:
        """n draws from a model of the data's form, or the means of such."""
        show = rawdata.means if mean else rawdata.draws
        parts = torch.empty(n, device=self.device).split(ROWS_AT_ONCE)
        px = (model.generate(len(part), c) for part, c in zip(parts, self._told(parts)))
        return rawdata.joined([show(self.setup, self.spec, part) for part in px])

    def _told(self, parts: Sequence[Tensor]) -> Iterator[Tensor | None]:
        """The condition as the model is shown it, for the rows of each part in turn."""
        counts = [len(part) for part in parts]
        c = rawdata.each_row(self._c, sum(counts))
        each = [None] * len(counts) if c is None else c.split(counts)
        return (self.setup.told(part, count) for part, count in zip(each, counts))

    def _batches(self, x: Values) -> list[Batch]:
        """The rows in batches of stored values, each with the condition that it is asked about under."""
        return rawdata.batches(self.spec, x, self._c)

    def _restricted(self) -> list[Model]:
        """The model of each cluster alone."""
        count = len(self.clusters(self._lowest(), 1).responsibilities[0])
        return [restricted(self.setup.model, number) for number in range(count)]

    def _posteriors(self, x: Values) -> Iterator[Any]:
        """q(z|x) of chunks of the rows, as they are without noise."""
        return self._inferred(self._batches(x))

    def _inferred(self, stored: Sequence[Batch]) -> Iterator[Any]:
        for batch in stored:
            yield self.setup.model.infer(self.setup.steady(batch.to(self.device)))

    def _figures(self, x: Values, particles: Particles, seed: int, watch: Watch | None) -> dict[str, Tensor]:
        """The figures of each datum that `evaluate` averages, (N,) each."""
        with self._drawing(seed, "figures"):
            parts = [self._figures_of(batch, particles) for batch in watched(self._batches(x), watch)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _figures_of(self, stored: Batch, particles: Particles) -> dict[str, Tensor]:
        raw, model = stored.to(self.device), self.setup.model
        trace = perdatum.traced(self.setup, self._seen(raw), particles)
        px = model.decode(codes.means(model.infer(trace.batch)), trace.batch.c)
        terms = {**perdatum.terms(model, trace, particles), "volume": self.setup.volumes(raw)}
        return {**terms, **perdatum.error(self.setup, self.spec, raw, px)}

    def _seen(self, raw: Batch) -> Batch:
        """The rows through their views, random ones too, but nothing corrupted: they are shown as they were given."""
        return replace(self.setup.see(raw), shown=None)

    def _bounded(self, x: Values, seed: int, watch: Watch | None) -> Iterator[Batch]:
        """The rows as the model sees them, refused if it has no log p(x).

        What a random view makes of them depends on the seed alone, so that every method is asked of the same data.
        """
        for number, stored in enumerate(watched(self._batches(x), watch)):
            reseed(self.device, derive(seed, "view", number))
            seen = self._with_bound(self._seen(stored.to(self.device)))
            reseed(self.device, derive(seed, "particles", number))
            yield seen

    def _believed(self, found: Sequence[Marginal], x: Values) -> dict[str, Array]:
        whole = joined(found)
        return self._columns({**whole._asdict(), "believed": whole.believed}, x)

    def _columns(self, found: Mapping[str, Tensor], x: Values) -> dict[str, Array]:
        """Figures of each row of x as arrays, log p in nats of the data as given."""
        given = {**found, "log_p": found["log_p"] + torch.from_numpy(self.volumes(x)).to(self.device)}
        return {name: rawdata.to_array(values) for name, values in given.items()}

    def _with_bound(self, seen: Batch) -> Batch:
        """The batch, refused if the model has no log p(x)."""
        if not self.setup.model.trace(seen[:1], 1, self.setup.estimator).proper:
            raise InputError(
                "the model encodes to points, so there is no bound on log p(x); score rows by reconstruction with "
                "the verb anomaly (in Python: scores), or train a model whose posterior has a density, such as vae"
            )
        return seen

    def _layout(self) -> codes.Layout:
        """How codes lie in a matrix, seen on a datum of least values."""
        lowest = rawdata.batches(self.spec, self._lowest(), None if self._c is None else self._c[:1])
        with torch.no_grad():
            return codes.Layout.of(codes.means(next(self._inferred(lowest))))

    def _lowest(self) -> dict[str, Array]:
        """A datum of least values."""
        return {variable.name: np.full((1, *variable.shape), variable.low) for variable in self.spec.variables}

    def _codes(self, z: object, width: int) -> Tensor:
        found = checked_array("the codes", "z", as_array(z, "the codes")).astype(np.float64)
        if found.shape[1:] != (width,):
            raise InputError(f"the codes have rows of shape {found.shape[1:]}, but the model's codes are {(width,)}")
        if not np.isfinite(found).all():
            raise InputError("the codes hold NaN or infinite values; give finite ones")
        return torch.from_numpy(found).to(self.device, torch.get_default_dtype())


def _chosen(dims: Sequence[int], width: int) -> list[int]:
    for dim in dims:
        if not 0 <= dim < width:
            raise InputError(f"the codes have dimensions 0 to {width - 1}, and no dimension {dim}")
    return [int(dim) for dim in dims]


def _each(values: Values, change: Callable[[Array], Array]) -> Values:
    if isinstance(values, Mapping):
        return {name: change(array) for name, array in values.items()}
    return change(values)


def _joined(parts: Sequence[Values]) -> Values:
    return rawdata.joined([dict(p) if isinstance(p, Mapping) else {"x": np.asarray(p)} for p in parts])


def _in_rows(data: Array, steps: int) -> Array:
    return data.reshape(-1, steps, *data.shape[1:])


def _draws(what: str, value: object) -> Particles:
    count: Particles = conformed(what, value, Count | Literal["auto"])
    return count


def _positive(what: str, value: int) -> int:
    count: int = conformed(what, value, Count)
    return count


def _one_row(datum: Values) -> Values:
    if isinstance(datum, Mapping):
        return {name: np.asarray(values)[None] for name, values in datum.items()}
    return as_array(datum, "the datum")[None]


def _require_alike(given: Variable, wanted: Variable) -> None:
    for what in ("kind", "shape", "levels"):
        if getattr(given, what) != getattr(wanted, what):
            raise InputError(
                f"the model was made for data of {what} {getattr(wanted, what)}, but these have {getattr(given, what)}"
            )


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a run's files, whole or not at all."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is there already; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as scratch:
        shutil.copytree(source, Path(scratch) / "run", ignore=shutil.ignore_patterns("checkpoints"))
        os.replace(Path(scratch) / "run", target)
