"""What the next step depends on, apart from the data and the settings: what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from lowerbound.core.table import Table
from lowerbound.run.checkpoint import Checkpoint
from lowerbound.run.folder import modules_of
from lowerbound.run.settings import Settings
from lowerbound.training.average import Average, assign
from lowerbound.training.best import Best
from lowerbound.training.loss import Loss
from lowerbound.training.optimiser import Optimiser
from lowerbound.training.start import Start
from lowerbound.training.tally import Tally


@final
class State:
    """Weights, their average and the best of them, the optimiser's moments, the running sums and the step."""

    def __init__(self, loss: Loss, settings: Settings) -> None:
        self.modules = modules_of(loss.setup)
        tables = [module for module in self.modules.modules() if isinstance(module, Table)]
        self.optimiser = Optimiser(self.modules.parameters(), settings, tables)
        self.average = Average(self.optimiser.parameters, settings.ema)
        self.best = Best()
        self.tally = Tally()
        self.step = 0

    def go_on(self, start: Start) -> None:
        """Take up another training's weights, and its moments if there are any."""
        self.modules.load_state_dict(start.weights)
        if start.moments:
            self.optimiser.load({name: value.clone() for name, value in start.moments.items()})
        assign(self.average.values, self.average.parameters)

    def end(self, steps: int) -> Start:
        """Return where another training may go on, after this many steps."""
        weights = {name: value.detach().clone() for name, value in self.modules.state_dict().items()}
        return Start(weights, self.optimiser.state(), steps)

    def renew(self) -> None:
        """Forget the moments and the average of weights that have been moved from under them."""
        self.optimiser.renew()
        self.average.renew()

    def kept(self) -> Mapping[str, Tensor]:
        """Return the weights to keep if training ended now: the best, or the last where none were validated."""
        with self.average.applied():
            return self.best.weights or {n: v.detach().clone() for n, v in self.modules.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers on the device, by name."""
        groups = {
            "weights": self.modules.state_dict(),
            "optimiser": self.optimiser.state(),
            "average": self.average.state(),
            "best": self.best.weights,
            "tally": {} if self.tally.sums is None else {"sums": self.tally.sums},
        }
        return {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}

    def facts(self) -> dict[str, Any]:
        """Return the rest, as JSON."""
        return {"best": self.best.facts(), "names": self.tally.names, "tallied": self.tally.steps}

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint that was made of `tensors` and `facts`."""
        tensors, facts = checkpoint.tensors, checkpoint.facts
        device = next(self.modules.parameters()).device
        groups = _grouped(tensors)
        self.modules.load_state_dict(groups["weights"])
        self.optimiser.load(groups["optimiser"])
        self.average.load(groups.get("average", {}))
        self.best.load(facts["best"], {n: v.to(device) for n, v in groups.get("best", {}).items()})
        sums = tensors.get("tally/sums")
        self.tally = Tally(tuple(facts["names"]), None if sums is None else sums.to(device), facts["tallied"])
        self.step = checkpoint.step


def _grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return groups
