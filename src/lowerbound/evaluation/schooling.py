"""How the classifiers that judge samples are trained: on labelled pictures, by Adam, the best by validation kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Self, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from lowerbound.core import Batch
from lowerbound.data.dataset import Dataset
from lowerbound.data.rows import Sampler
from lowerbound.data.spec import Variable
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE
from lowerbound.evaluation.watching import Watch
from lowerbound.nets.classifier import PictureClassifier
from lowerbound.randomness import derive, isolated, permutation, reseed

LOOKS = 8
"""Times that the validation rows are looked at, evenly over the steps."""


@final
@dataclass(frozen=True)
class Schooling:
    """What a classifier is and how it learns.

    widths: channels of its convolutions. steps of batch_size rows each. lr: the highest learning rate, to which it
    rises and from which it falls. shift: pixels by which a picture is moved at most, each way. mirrored: whether a
    picture may also be shown left to right, which photographs bear and digits do not. seed: fixes everything.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    steps: int = 2400
    batch_size: int = 128
    lr: float = 4e-3
    shift: int = 2
    mirrored: bool = False
    seed: int = 0

    @classmethod
    def of(cls, picture: Variable) -> Self:
        """What suits pictures of this kind: those in colour are photographs, which take more.

        >>> Schooling.of(Variable("x", "byte", (32, 32, 3), 0, 255, levels=256)).mirrored
        True
        """
        photograph = len(picture.shape) == 3 and picture.shape[2] == 3
        return cls((32, 64, 128, 256), steps=4000, mirrored=True) if photograph else cls()


def school(
    data: Dataset, how: Schooling, device: torch.device, watch: Watch | None = None
) -> tuple[PictureClassifier, float]:
    """A classifier of the data's labels, trained on the training rows, and its accuracy on the validation rows.

    The weights kept are those of the look at which that accuracy was highest.

    Leslie N. Smith and Nicholay Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2019, of which the course of the learning rate is.
    """
    with isolated(device):
        reseed(device, derive(how.seed, "classifier"))
        return _Lessons(data, how, device).held(watch)


@final
class _Lessons:
    """One training of one classifier."""

    def __init__(self, data: Dataset, how: Schooling, device: torch.device) -> None:
        picture, label = data.spec.variables[0], data.spec.condition
        assert label is not None
        self.how, self.device, self.picture = how, device, picture
        self.rows, self.exam = (data.split(name).resident(device) for name in ("train", "validation"))
        self.net = PictureClassifier(picture.shape, how.widths, label.levels or 1).to(device)
        self.adam = torch.optim.AdamW(self.net.parameters(), how.lr, fused=True)
        self.rate = torch.optim.lr_scheduler.OneCycleLR(self.adam, how.lr, how.steps)
        self.best, self.kept = -1.0, self.net.state_dict()

    def held(self, watch: Watch | None) -> tuple[PictureClassifier, float]:
        for step, batch in enumerate(islice(_endless(self.rows, self.how), self.how.steps), 1):
            self._learn(step, batch)
            if step % max(1, self.how.steps // LOOKS) == 0:
                self._look()
            if watch:
                watch(step, self.how.steps)
        self.net.load_state_dict(self.kept)
        return self.net.eval(), self.best

    def _look(self) -> None:
        found = accuracy(self.net, self.picture, self.exam)
        if found >= self.best:
            self.best, self.kept = found, {name: value.clone() for name, value in self.net.state_dict().items()}

    def _learn(self, step: int, batch: Batch) -> None:
        reseed(self.device, derive(self.how.seed, "lesson", step))
        x = varied(scaled(self.picture, batch.x[self.picture.name]), self.how.shift, self.how.mirrored)
        assert batch.c is not None
        cross_entropy(self.net.train()(x), batch.c).backward()
        self.adam.step()
        self.rate.step()
        self.adam.zero_grad()


def scaled(picture: Variable, x: Tensor) -> Tensor:
    """Values on the scale of the data to such from 0 to 1.

    >>> scaled(Variable("x", "byte", (2,), 0, 16, levels=17), torch.tensor([[0, 8]]))
    tensor([[0.0000, 0.5000]])
    """
    return (x.to(torch.get_default_dtype()) - picture.low) / (picture.high - picture.low)


def varied(x: Tensor, shift: int, mirrored: bool) -> Tensor:
    """Pictures (N, H, W, ...) moved by up to `shift` pixels each way, zeros coming in, and half of them mirrored.

    >>> varied(torch.eye(3)[None], 0, False)[0].diagonal()
    tensor([1., 1., 1.])
    """
    n, height, width = x.shape[:3]
    down, right = (torch.randint(2 * shift + 1, (n, 1), device=x.device) for _ in range(2))
    rows, columns = (at + torch.arange(side, device=x.device) for at, side in ((down, height), (right, width)))
    turned = columns.flip(1) if mirrored else columns
    columns = torch.where(torch.rand(n, 1, device=x.device) < 0.5, columns, turned)
    wider = pad(x, (0,) * (2 * (x.dim() - 3)) + (shift,) * 4)
    return wider[torch.arange(n, device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


@torch.no_grad()
def accuracy(net: PictureClassifier, picture: Variable, rows: Sampler) -> float:
    """The share of rows whose label the network gives."""
    net.eval()
    batches = rows.batches(torch.arange(rows.count).split(ROWS_AT_ONCE))
    right = [_right(net(scaled(picture, batch.x[picture.name])), batch.c) for batch in batches]
    return float(torch.stack(right).sum()) / rows.count


def _right(logits: Tensor, one_hot: Tensor | None) -> Tensor:
    assert one_hot is not None
    return (logits.argmax(1) == one_hot.argmax(1)).sum()


def _endless(rows: Sampler, how: Schooling) -> Iterator[Batch]:
    """Batches of the rows in one random order after another; what does not fill a batch is left out."""
    size = min(how.batch_size, rows.count)
    for epoch in count():
        order = permutation(rows.count, how.seed, epoch)
        yield from rows.batches(order[: rows.count // size * size].split(size))
