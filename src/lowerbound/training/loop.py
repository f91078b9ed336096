"""Training: rows -> loss -> gradient -> step, and between steps what must not be forgotten."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from lowerbound.core import Batch, total
from lowerbound.data.dataset import Dataset
from lowerbound.distributed import World, choose_device, joined, parallel
from lowerbound.errors import DivergedError, InputError, Interrupted
from lowerbound.randomness import derive, isolated, permutation, reseed
from lowerbound.recipes.registry import get
from lowerbound.run.checkpoint import Checkpoint
from lowerbound.run.folder import Outcome, Run, modules_of
from lowerbound.training.acceleration import compiled, forward_context, forward_flops, mode, step_context
from lowerbound.training.collapse import Collapse
from lowerbound.training.interrupts import Request, postponed
from lowerbound.training.journal import Journal
from lowerbound.training.loss import Loss
from lowerbound.training.meetings import Meetings
from lowerbound.training.progress import Progress, Silent, Tick
from lowerbound.training.rates import learning_rate
from lowerbound.training.start import Start, in_order, mean_values
from lowerbound.training.state import State
from lowerbound.training.tally import Figures, Tally
from lowerbound.training.validation import Validation

LARGEST_SKIPPED_SHARE = 0.1
"""Training stops once more than this share of an epoch's steps had gradients that are not finite."""

SECONDS_BETWEEN_LOOKS = 0.5
"""How often the running sums are read for the progress bar; each time the host waits for the device."""


def train(run: Run, data: Dataset, *, progress: Progress | None = None, start: Start | None = None) -> Start | None:
    """Train a run to its end, from its newest checkpoint if it has one; leaves weights and figures in its folder.

    start: where another training ended, to begin there in place of drawn weights. What is returned is where this one
    ended, its last weights and not the best; None if it was over before.

    The same run on the same data gives the same weights bit for bit, on as many threads and processes, however often
    it was interrupted. Random views, noise and order follow from the seed; the test split is never read.

    Raises:
        InputError: the data are not those of the run, or the device cannot do what is asked.
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint.
        DivergedError: too many gradients were not finite; the best weights so far are kept.
    """
    run.require_data(data.spec)
    if run.finished:
        _leave_finished(run, progress or Silent())
        return None
    world = World.from_environment()
    device = choose_device(run.settings.device, world)
    shown = progress if progress is not None and world.leads else Silent()
    try:
        with joined(device, world), isolated(device), postponed() as request:
            return Trainer(run, data, world, device, shown, request, start).fit()
    finally:
        shown.close()


@final
class Trainer:
    """One training of one run, in one process."""

    def __init__(
        self,
        run: Run,
        data: Dataset,
        world: World,
        device: torch.device,
        progress: Progress,
        request: Request,
        start: Start | None = None,
    ) -> None:
        self.run, self.settings, self.world, self.device = run, run.settings, world, device
        self.progress, self.request, self.journal, self.start = progress, request, Journal(run), start
        self.rows = data.split("train").resident(device)
        self.batch_size = fitting_batch(self.settings.batch_size, self.rows.count, world)
        self.steps_per_epoch = self.rows.count // self.batch_size
        self.steps = self.steps_per_epoch * self.settings.epochs
        self.loss = Loss(run.draw().to(device))
        self.state = State(self.loss, self.settings)
        to_meet = self.loss.setup if start is None else replace(self.loss.setup, meet={})
        self.meetings = Meetings(to_meet, self.rows, self.steps, self.settings.seed, device)
        self.clock = torch.zeros((), dtype=torch.int64, device=device)
        precision = mode(self.settings, device, self._flops)
        self.context, self.products = forward_context(precision, device), step_context(precision)
        self.pass_forward = parallel(compiled(self.loss, self.settings, device), world)
        validation = data.split("validation").resident(device)
        most = self.loss.setup.validation_rows
        self.validation = Validation(validation, self.batch_size, self.settings.seed, device, world, most)
        self.collapse = Collapse(validation, self.settings.seed, device, most, get(run.record.recipe).parameters)
        self.checkpoints = run.checkpoints

    def fit(self) -> Start:
        """Train from where the run stands to its end; return where that is."""
        self._resume()
        try:
            with self.products:
                self._train()
            self._finish("trained")
        finally:
            self.journal.close()
        self.world.wait()
        return self.state.end(int(self.clock))

    def _train(self) -> None:
        while not self._over():
            for batch in self.rows.batches(self._order()):
                self._take_step(batch)
                self._attend()

    def _take_step(self, batch: Batch) -> None:
        state = self.state
        if self.meetings.hold(state.step):
            state.renew()
        reseed(self.device, derive(self.settings.seed, "step", self.world.rank, state.step))
        seen = self.loss.setup.see(batch)
        with self.context:
            terms = self.pass_forward(seen, self.clock)
        total(terms).backward()
        for parameter in self.loss.setup.resting(state.step):
            parameter.grad = None
        finite, norm = state.optimiser.step(learning_rate(self.settings, state.step, self.steps))
        state.average.follow(state.step)
        state.tally.add(terms, norm, finite)
        state.step += 1
        self.clock += 1

    def _order(self) -> Iterator[Tensor]:
        """Return the row numbers of each step that is left of the epoch."""
        epoch, done = divmod(self.state.step, self.steps_per_epoch)
        order = permutation(self.rows.count, self.settings.seed, epoch).to(self.device)
        whole = order[: self.steps_per_epoch * self.batch_size].split(self.batch_size)
        return map(self.world.share, whole[done:])

    def _over(self) -> bool:
        patience = self.settings.patience
        stale = self.state.best.stale
        tired = patience is not None and stale >= patience
        if tired:
            self.progress.say(f"stopped early: {stale} epochs without a better validation objective")
        return tired or self.state.step >= self.steps

    def _attend(self) -> None:
        """See to what is due between two steps."""
        if self.state.step % self.steps_per_epoch == 0:
            self._end_epoch()
        now = time.monotonic()
        if now >= self.next_look:
            self._look(now)
        if self.world.leads and (self.request.made or now >= self.next_save):
            self._save()
        if self.world.leads and self.request.made:
            self._interrupt()

    def _end_epoch(self) -> None:
        state, figures = self.state, self.state.tally.read()
        self._require_finite(figures)
        epoch = state.step // self.steps_per_epoch
        with state.average.applied():
            score = self.validation.score(self.loss, self.context)
            if self.meetings.over(state.step):  # until then it is not yet the model that is to be kept
                state.best.offer(score, epoch, state.modules)
            rate = self.collapse.rate(self.loss.setup)
        if self.world.leads:
            self.journal.write(self._record(epoch, figures, score, rate))
        if warning := self.collapse.warning(rate, epoch, state.step):
            self.progress.say(warning)
        state.tally, self.seen = Tally(), Figures()
        self._tell(figures, score)

    def _record(self, epoch: int, figures: Figures, score: float, rate: float | None) -> dict[str, Any]:
        found = {"objective": score if math.isfinite(score) else None}
        return {
            "epoch": epoch,
            "step": self.state.step,
            "lr": learning_rate(self.settings, self.state.step - 1, self.steps),
            "skipped": figures.skipped,
            "train": figures.means,
            "validation": found if rate is None else {**found, "rate": rate},
        }

    def _look(self, now: float) -> None:
        figures = self.state.tally.read()
        self._require_finite(figures)
        if figures.steps > self.seen.steps:
            self._tell(figures.since(self.seen), self.state.best.last)
        self.seen, self.next_look = figures, now + SECONDS_BETWEEN_LOOKS

    def _tell(self, figures: Figures, score: float | None) -> None:
        state = self.state
        rate = (state.step - self.first_step) * self.batch_size / max(1e-9, time.monotonic() - self.began)
        left = (self.steps - state.step) * self.batch_size / rate
        epoch = -(-state.step // self.steps_per_epoch)
        self.progress.tick(Tick(state.step, self.steps, epoch, self.settings.epochs, rate, left, figures.loss, score))

    def _require_finite(self, figures: Figures) -> None:
        if figures.skipped > LARGEST_SKIPPED_SHARE * self.steps_per_epoch:
            self._finish("diverged")
            raise DivergedError(
                f"training diverged by step {self.state.step}: the gradient was not finite in {figures.skipped} of the "
                f"epoch's {self.steps_per_epoch} steps; the best weights so far are kept in {self.run.path}; "
                f"train again with an lr below {self.settings.lr:g}, or with clip"
            )

    def _save(self) -> None:
        facts = {**self.state.facts(), "lengths": self.journal.lengths(), "setting": self._setting()}
        self.checkpoints.save(Checkpoint(self.state.step, self.state.tensors(), facts))
        self.next_save = time.monotonic() + self.settings.checkpoint_seconds

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        checkpoint = self.checkpoints.newest()
        if checkpoint is None:
            self._begin()
        else:
            self.state.load(checkpoint)
            self._compare(checkpoint.facts["setting"])
        if self.world.leads:
            self.journal.open(self.state.step, checkpoint.facts["lengths"] if checkpoint else {})
            self.run.tidy()
            self.run.begin()
        self.clock.fill_(self.state.step + (self.start.steps if self.start else 0))
        self.seen, self.first_step, self.began = Figures(), self.state.step, time.monotonic()
        self.next_look, self.next_save = self.began, self.began + self.settings.checkpoint_seconds

    def _begin(self) -> None:
        if self.start is None:
            self.loss.setup.start(mean_values(self.loss.setup, self.rows, self.device))
        else:
            self.state.go_on(self.start)

    def _setting(self) -> dict[str, Any]:
        """Return what the last digits depend on besides the run."""
        threads = torch.get_num_threads()
        return {"device": self.device.type, "threads": threads, "processes": self.world.size}

    def _compare(self, former: dict[str, Any]) -> None:
        for name, value in self._setting().items():
            if former[name] != value:
                self.progress.say(
                    f"{name}: {value} now, {former[name]} before; the last digits may differ from an uninterrupted run"
                )

    def _interrupt(self) -> NoReturn:
        raise Interrupted(
            f"interrupted after step {self.state.step} of {self.steps} and saved; "
            f"go on with: lowerbound train --resume {self.run.path}"
        )

    def _finish(self, outcome: Outcome) -> None:
        """Leave the best weights in the run's folder."""
        if not self.world.leads:
            return
        best = self.state.best
        result = {"steps": self.state.step, "epoch_kept": best.epoch, "validation_objective": best.facts()["score"]}
        kept = self.state.kept()
        self.run.finish(self._settled(kept) if outcome == "trained" else kept, outcome, result)
        self.checkpoints.clear()

    def _settled(self, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the weights to leave, with what the recipe fits to them once they are fixed."""
        setup = self.run.draw().to(self.device)
        modules = modules_of(setup)
        modules.load_state_dict(kept)
        modules.eval()
        reseed(self.device, derive(self.settings.seed, "settle"))
        with torch.no_grad():
            setup.settle(lambda: map(setup.steady, self.rows.batches(in_order(self.rows, self.device))))
        return modules.state_dict()

    def _flops(self) -> int:
        rows = self.world.share(torch.arange(self.batch_size, device=self.device))
        return forward_flops(self.loss.setup, self.loss.setup.see(self.rows.batch(rows)))


def _leave_finished(run: Run, progress: Progress) -> None:
    """Say that there is nothing to do, and clear away what a process killed at the very end left."""
    progress.say(f"nothing to do: {run.path} has {run.record.state} already")
    progress.close()
    if World.from_environment().leads:
        run.tidy()
        run.checkpoints.clear()


def fitting_batch(size: int, count: int, world: World) -> int:
    """Return the batch size to use: at most the rows there are, in equal shares for all processes.

    Example:
        >>> fitting_batch(128, 100, World())
        100
    """
    fitting = min(size, count)
    if fitting % world.size:
        raise InputError(
            f"a batch of {fitting} rows cannot be shared equally by {world.size} processes; change batch_size"
        )
    return fitting
