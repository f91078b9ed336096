"""Learning rates over time, reckoned on the host: setting one costs the device nothing."""

from __future__ import annotations

import math

from lowerbound.run.settings import Settings


def learning_rate(settings: Settings, step: int, steps: int) -> float:
    """Return the learning rate of step number `step` (from 0) out of `steps`.

    A straight line up to `settings.lr` over the first `lr_warmup` steps, then the schedule over the rest.

    Example:
        >>> settings = Settings(lr=1.0, schedule="cosine", lr_warmup=2)
        >>> [round(learning_rate(settings, step, 10), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    if step < settings.lr_warmup:
        return settings.lr * (step + 1) / settings.lr_warmup
    done = (step - settings.lr_warmup) / max(1, steps - settings.lr_warmup)
    return settings.lr * factor(settings.schedule, done)


def factor(schedule: str, done: float) -> float:
    """Return what a schedule leaves of the learning rate when the share `done` of the steps is behind.

    Cosine decay, without the restarts: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
    Restarts", 2017.

    Example:
        >>> [factor("step", done) for done in (0.0, 0.5, 0.75)]
        [1.0, 0.1, 0.01]
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    return 1.0
