"""Demonstrations: what is kept, what is left out, and what is read back."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.data.lerobot import read_episodes
from lowerbound.errors import InputError, LowerboundError
from lowerbound.robots.demonstrations import Demonstrations, _pushes, performed
from worlds import STEPS, Bead, beads  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("beads")


def test_an_episode_pairs_each_state_with_the_action_taken_in_it():
    episode = performed(Bead(), 3)
    assert len(episode.states) == len(episode.actions) == STEPS
    np.testing.assert_allclose(episode.states[1:, 0], episode.states[:-1, 0] + episode.actions[:-1, 0], atol=1e-6)


def test_what_was_meant_is_recorded_and_what_was_disturbed_is_done():
    calm, shaken = performed(Bead(), 3), performed(Bead(), 3, shake=0.1)
    assert np.array_equal(calm.states[0], shaken.states[0])
    np.testing.assert_allclose(shaken.actions[:, 0], np.clip(shaken.states[:, 1] - shaken.states[:, 0], -0.5, 0.5))
    moved = np.diff(shaken.states[:, 0]) - shaken.actions[:-1, 0]
    assert 0.02 < np.abs(moved[1:]).max() < 0.5
    assert np.array_equal(shaken.states, performed(Bead(), 3, shake=0.1).states)


def test_disturbances_have_the_deviation_that_is_asked_for():
    """Of 18,000 draws, each 0.9 of the last; the bound is 5 standard errors of a variance."""
    pushes = _pushes(np.random.default_rng(0), 0.3, 20)
    found = np.stack([next(pushes) for _ in range(1000)][100:])
    assert abs(found.var() / 0.09 - 1) < 5 * np.sqrt(2 / (18_000 * (1 - 0.81) / (1 + 0.81)))
    assert abs((found[1:] * found[:-1]).mean() / 0.09 - 0.9) < 0.2


def test_failures_are_left_out_and_counted(tmp_path):
    made = Demonstrations(["bead/slippery"], 4, seed=2)
    made.write(tmp_path / "demos")
    assert (made.kept, made.failed, made.frames) == (4, 2, 4 * STEPS)
    found = read_episodes(tmp_path / "demos")
    for episode, seed in zip(found, [2, 4, 5, 7]):
        expected = performed(Bead("slippery"), seed)
        assert np.array_equal(episode.states, expected.states)
        assert np.array_equal(episode.actions, expected.actions)
        assert episode.task == "Bring it to the mark slippery"


def test_several_tasks_share_a_folder(tmp_path):
    told = []
    Demonstrations(["bead", "bead/short"], 3, 0, lambda *each: told.append(each)).write(tmp_path / "demos")
    assert [episode.task for episode in read_episodes(tmp_path / "demos")] == (
        ["Bring it to the mark"] * 3 + ["Bring it to the mark short"] * 3
    )
    assert told == [(i + 1, 6) for i in range(6)]


def test_simulators_that_differ_do_not_share_one(monkeypatch):
    other = Bead()
    other.abilities = other.abilities.__class__("bead", "", ("bead",), ("move",), 10, STEPS)
    monkeypatch.setattr("lowerbound.robots.demonstrations.simulator", {"bead": Bead(), "other": other}.__getitem__)
    with pytest.raises(InputError, match="other has states or actions other than bead's"):
        Demonstrations(["bead", "other"], 1, 0)


def test_a_hopeless_script_is_given_up_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Bead, "step", lambda self, action, step=Bead.step: step(self, 0 * action))
    with pytest.raises(LowerboundError, match=r"failed 2\d times of 2\d"):
        Demonstrations(["bead"], 50, 0).write(tmp_path / "demos")
    assert not (tmp_path / "demos").exists()
