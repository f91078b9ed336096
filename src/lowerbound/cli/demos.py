"""The verb demos: a simulator's own script at work, written as demonstrations to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from lowerbound.cli.progress import watcher
from lowerbound.cli.verb import Answer, Named, Verb
from lowerbound.errors import InputError


@final
@dataclass(frozen=True, kw_only=True)
class Demos(Verb):
    """Have a simulator's script do its task again and again, and write what it saw and did as demonstrations.

    Simulators are aloha-transfer-cube, and metaworld/drawer-open, metaworld/push and others of that table; of those
    several may be named, whose demonstrations then share one folder. The folder is in LeRobot's layout, v2.1: train
    with: lowerbound train act --data FOLDER

    Episodes that went wrong are left out and counted. Simulators need the extra robot.
    """

    simulators: Named[tuple[str, ...]]
    """Whose scripts, such as aloha-transfer-cube."""
    episodes: int = 50
    """Good episodes to write, of each."""
    seed: int = 0
    """Episodes begin as this and the following seeds say."""
    shake: float = 0.0
    """Disturb what is done by so much, and record what was meant: demonstrations then show a way back from errors. A
    standard deviation, in the actions' own units: 0.02 for arms whose actions are joints."""
    out: Path
    """New folder."""

    def answer(self) -> Answer:
        from lowerbound.robots.demonstrations import Demonstrations

        if not self.simulators:
            raise InputError("name one or more simulators, such as aloha-transfer-cube")
        watch = watcher(self.common, "episodes")
        found = Demonstrations(self.simulators, self.episodes, self.seed, watch, self.shake)
        found.write(self.out)
        facts = {"out": str(self.out), "episodes": found.kept, "frames": found.frames, "failed": found.failed}
        words = f"wrote {found.kept:,} episodes of {found.frames:,} frames to {self.out}; left out {found.failed:,}"
        return Answer(facts, f"{words} that failed\nnext: lowerbound train act --data {self.out} --out RUN")
