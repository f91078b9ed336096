"""A classifier of pictures, trained on real ones with their labels: the judge of pictures that a model makes.

Trained on first use and kept in the cache of data, by the data's fingerprint; nothing of it is fetched.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.store import cache
from lowerbound.distributed import World, choose_device
from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, to_array
from lowerbound.evaluation.schooling import Schooling, accuracy, scaled, school
from lowerbound.evaluation.watching import Watch
from lowerbound.files import write_json
from lowerbound.nets.classifier import PictureClassifier
from lowerbound.run.tensors import file_digest, json_digest, load_tensors, save_tensors

Array = np.ndarray

WEIGHTS, ABOUT = "weights.safetensors", "classifier.json"

VERSION = 1
"""Of what is trained and how, besides what `Schooling` says; another one makes kept classifiers be trained anew."""


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """What tells the labels of one data set from its pictures.

    net: its network. data: the name of the data. picture, label: what it sees and what it tells. accuracy: its share of
    right answers on the validation rows, by which its weights were chosen, and on the test rows, with a standard error.

    Pictures go in on the data's own scale, (N, *shape).
    """

    net: PictureClassifier
    data: str
    picture: Variable
    label: Variable
    accuracy: Mapping[str, float]

    def predict(self, x: object) -> Array:
        """The code of the likeliest label of each picture, (N,)."""
        found: Array = self.probabilities(x).argmax(1)
        return found

    def probabilities(self, x: object) -> Array:
        """p(label|x), (N, labels)."""
        return self._over(x, lambda rows: self.net(rows).softmax(1))

    def features(self, x: object) -> Array:
        """What the last layer reads, (N, D): the features by which sets of pictures are compared."""
        return self._over(x, self.net.features)

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called, in the order of their codes."""
        return self.label.labels or tuple(map(str, range(self.label.levels or 0)))

    def save(self, folder: Path) -> None:
        """Keep it in a folder: its weights, and a JSON file that says the rest and their digest."""
        digest = save_tensors(folder / WEIGHTS, self.net.state_dict())
        widths = [each.out_channels for each in self.net.modules() if isinstance(each, torch.nn.Conv2d)]
        variables = {"picture": self.picture.to_json(), "label": self.label.to_json()}
        about = {"data": self.data, **variables, "accuracy": dict(self.accuracy), "widths": widths, "weights": digest}
        write_json(folder / ABOUT, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: the folder is not there, not whole, or holds something else.
        """
        try:
            return cls._of(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"there is no classifier in {folder}; the verb quality trains one") from None
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(f"{folder} holds no whole classifier; delete it, and it will be trained anew") from None

    @classmethod
    def _of(cls, folder: Path, about: Any) -> Self:
        if file_digest(folder / WEIGHTS) != about["weights"]:
            raise ValueError("the weights are others than those that were kept")
        picture, label = (Variable.from_json(about[name]) for name in ("picture", "label"))
        net = PictureClassifier(picture.shape, [int(width) for width in about["widths"]], label.levels or 1)
        net.load_state_dict(load_tensors(folder / WEIGHTS))
        shares = {str(name): float(share) for name, share in about["accuracy"].items()}
        return cls(net.eval(), str(about["data"]), picture, label, shares)

    def to(self, device: torch.device) -> Self:
        """The same one, with its weights there."""
        self.net.to(device)
        return self

    @torch.no_grad()
    def _over(self, x: object, look: Any) -> Array:
        return np.concatenate([to_array(look(rows)) for rows in self._chunks(x)])

    def _chunks(self, x: object) -> Iterator[Tensor]:
        array, device = as_array(x, "the pictures"), next(self.net.parameters()).device
        if array.shape[1:] != self.picture.shape or not len(array):
            raise InputError(
                f"the classifier of {self.data} sees pictures of shape (N, {', '.join(map(str, self.picture.shape))}), "
                f"and was given {array.shape}"
            )
        for start in range(0, len(array), ROWS_AT_ONCE):
            part = np.ascontiguousarray(array[start : start + ROWS_AT_ONCE])
            yield scaled(self.picture, torch.from_numpy(part).to(device))


def classifier(
    source: Any, how: Schooling | None = None, device: str = "auto", watch: Watch | None = None
) -> Classifier:
    """The classifier of a data set's labels, read from the cache; trained and kept there at its first use.

    source: a named data set, or anything else that `load_data` takes or returned; of several variables the first is
    looked at. how: by default what suits such pictures; another training is another classifier, kept beside it.

    Raises:
        InputError: data that are no pictures or have not one label each.

    >>> classifier("wine")
    Traceback (most recent call last):
    ...
    lowerbound.errors.InputError: the classifier is of whole pictures, and 'wine' has rows of shape (13,)
    """
    data = source if isinstance(source, Dataset) else load_data(source)
    require_labelled(data.spec)
    how = how or Schooling.of(data.spec.variables[0])
    folder, place = kept_at(data.spec, how), choose_device(device, World())
    if not (folder / ABOUT).exists():
        print(f"training a classifier of {data.spec.name}, this once: {how.steps:,} steps", file=sys.stderr, flush=True)
        taught(data, how, place, watch).save(folder)
    return Classifier.load(folder).to(place)


def kept_at(spec: DataSpec, how: Schooling) -> Path:
    """The folder of the classifier of these very data, trained so."""
    rows = {"fingerprint": spec.fingerprint, "splits": dict(spec.splits), "split_seed": spec.split_seed}
    digest = json_digest({"version": VERSION, **rows, **asdict(how)})
    return cache() / "classifiers" / f"{re.sub(r'[^A-Za-z0-9]+', '-', Path(spec.name).name)}-{digest[:16]}"


def require_labelled(spec: DataSpec) -> None:
    """Refuse data of which no picture can be told by a label."""
    about, picture = spec.condition, spec.variables[0]
    if about is None or about.kind != "category" or about.shape:
        raise InputError(f"{spec.name!r} has no labels for a classifier to tell; give data with one label for each row")
    if len(picture.shape) not in (2, 3) or picture.kind == "category" or picture.missing:
        raise InputError(f"the classifier is of whole pictures, and {spec.name!r} has rows of shape {picture.shape}")


def taught(data: Dataset, how: Schooling, device: torch.device, watch: Watch | None = None) -> Classifier:
    """A classifier of the data's labels, trained now and kept nowhere.

    >>> judge = taught(load_data("digits"), Schooling(steps=60), torch.device("cpu"))
    >>> judge.accuracy["test"] > 0.8, judge.predict(np.zeros((2, 8, 8))).shape
    (True, (2,))
    """
    spec = data.spec
    assert spec.condition is not None
    net, validation = school(data, how, device, watch)
    test = accuracy(net, spec.variables[0], data.split("test").resident(device))
    error = math.sqrt(test * (1 - test) / spec.splits["test"])
    shares = {"validation": validation, "test": test, "test_stderr": error}
    return Classifier(net, spec.name, spec.variables[0], spec.condition, shares)
