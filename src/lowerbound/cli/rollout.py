"""The verb rollout: a trained policy at work in a simulator, and how often it does what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from lowerbound.cli.output import refuse_existing
from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Flat, OfRun, Switch
from lowerbound.errors import InputError

if TYPE_CHECKING:
    from lowerbound.fitted import Fitted
    from lowerbound.robots.policy import Policy
    from lowerbound.robots.rollouts import Rollouts
    from lowerbound.robots.simulators import Simulator
    from lowerbound.robots.video import Camera

PACE = 2
"""Control steps to a picture of a film."""


@final
@dataclass(frozen=True)
class Film:
    """What is filmed."""

    video: Path | None = None
    """File to film the first episodes into: .mp4, .gif, .webp, or .png for a strip of pictures."""
    filmed: int = 4
    """Episodes to film, side by side."""
    force: Switch = False
    """Replace the film if it is there."""

    def check(self) -> None:
        """Refuse, before any work, what cannot be written."""
        from lowerbound.robots.video import check_video

        if self.video is not None:
            check_video(self.video)
            refuse_existing(self.video, self.force)

    def camera(self) -> Camera | None:
        """What films, if anything is to be."""
        from lowerbound.robots.video import Camera

        return None if self.video is None else Camera(self.filmed, PACE)

    def write(self, camera: Camera | None, fps: int) -> str:
        """Write what was seen; words that say so."""
        from lowerbound.robots.video import write_video

        if camera is None or self.video is None:
            return ""
        write_video(self.video, camera.frames, fps // PACE)
        return f"\nwrote {self.video}"


@final
@dataclass(frozen=True, kw_only=True)
class Rollout(OfRun):
    """Let a policy that was trained on demonstrations act in a simulator, and count how often it succeeds.

    All episodes run side by side, and the policy is asked about all at once. The same seeds give the same episodes.
    Demonstrations begin at seed 0 unless told otherwise, so roll out from a seed that is beyond them. The interval is
    Wilson's, of 95 %. Simulators need the extra robot.
    """

    simulator: str | None = None
    """Where to act, such as aloha-transfer-cube; by default the one whose robot the demonstrations are of."""
    instruction: str | None = None
    """What to do in words, for a policy that is told; by default what the simulator says."""
    episodes: int = 50
    """Episodes to act in."""
    seed: int = 1000
    """They begin as this and the following seeds say."""
    every: int = 1
    """Control steps from one look at the state to the next."""
    ensemble: float = 0.01
    """Predictions of one action made at several looks are averaged with weights exp(-m i), i = 0 the oldest: this m."""
    newest: Switch = False
    """Act by the newest prediction alone, with no averaging."""
    film: Flat[Film] = field(default=Film())

    def answer(self) -> Answer:
        from lowerbound.robots.rollouts import roll_out
        from lowerbound.robots.simulators import named_for, simulator

        if self.episodes < 1:
            raise InputError(f"roll out 1 episode or more, not {self.episodes}")
        self.film.check()
        model = self.open()
        name = self.simulator or named_for(model.spec.variables[0].form)
        worlds, seeds = [simulator(name) for _ in range(self.episodes)], range(self.seed, self.seed + self.episodes)
        policy, camera = self._policy(model, worlds), self.film.camera()
        found = roll_out(worlds, seeds, policy, watcher(self.common, "steps"), camera)
        return _answer(found, name, self.film.write(camera, worlds[0].abilities.fps))

    def _policy(self, model: Fitted, worlds: Sequence[Simulator]) -> Policy:
        """The model at the wheel; one that is told in words is told the simulator's, if not others."""
        from lowerbound.robots.instructed import parts_of
        from lowerbound.robots.policy import Policy

        told = model.setup.condition
        spoken = told is not None and parts_of(told.variable)[1] > 0
        words = self.instruction or (worlds[0].abilities.instruction if spoken else None)
        return Policy(model, self.every, None if self.newest else self.ensemble, words)


def _answer(found: Rollouts, name: str, words: str) -> Answer:
    facts = {"simulator": name, "seed": int(found.seeds[0]), **found.summary()}
    low, high = (100 * each for each in facts["interval"])
    text = (
        f"{facts['successes']} of {facts['episodes']} episodes of {name} succeeded: {100 * facts['success_rate']:.0f} %"
        f" ({low:.0f} to {high:.0f} %)\nmean reward: highest {facts['mean_best_reward']:.2f}, "
        f"last {facts['mean_last_reward']:.2f}; {facts['control_steps_per_second']:,.0f} control steps a second"
    )
    return Answer(facts, text + words)
