"""Meta-World's table: the same for all tasks, done by each one's script, and judged by what moved."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from lowerbound.errors import InputError
from lowerbound.robots.metaworld import ACTIONS, STATES, TASKS, Table, attempted
from lowerbound.robots.simulators import Array, simulator


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    if not (find_spec("mujoco") and find_spec("metaworld")):
        pytest.skip("the simulators are not installed")
    return {task: Table(task) for task in TASKS}


def states_of(table: Table, seed: int) -> Array:
    """An episode by the task's script."""
    seen, script, done = [table.reset(seed)], table.expert(), False
    while not done:
        state, _, done = table.step(script(seen[-1]))
        seen.append(state)
    return np.stack(seen)


def moved(**changes: tuple[float, ...]) -> Array:
    """States (T, S) in which some numbers change as told and all others stand still."""
    states = np.zeros((max(map(len, changes.values())), len(STATES)))
    for name, values in changes.items():
        states[:, STATES.index(name)] = values
    return states


def test_no_first_state_tells_the_task(tables: dict[str, Table]) -> None:
    for seed in (3, 4):
        first = [table.reset(seed) for table in tables.values()]
        assert all(np.array_equal(first[0], other) for other in first)
        assert first[0].shape == (len(STATES),)
    assert not np.array_equal(tables["push"].reset(3), tables["push"].reset(4))


@pytest.mark.parametrize("task", TASKS)
def test_each_script_does_its_task_and_is_seen_to_attempt_it(tables: dict[str, Table], task: str) -> None:
    table = tables[task]
    states = states_of(table, seed=1)
    assert table.succeeded
    assert table.accomplished == {task}
    assert attempted(states) == task


def test_the_same_seed_and_actions_lead_to_the_same_states(tables: dict[str, Table]) -> None:
    once = states_of(tables["drawer-close"], seed=7)
    states_of(tables["drawer-close"], seed=8)
    assert np.array_equal(states_of(tables["drawer-close"], seed=7), once)


def test_two_tables_stand_apart(tables: dict[str, Table]) -> None:
    first = tables["push"].reset(1)
    tables["pick-place"].reset(2)
    after = tables["push"].step(np.zeros(len(ACTIONS))).state
    assert after[3:] == pytest.approx(first[3:], abs=5e-3)


def test_instructions_are_drawn_of_those_to_train_with(tables: dict[str, Table]) -> None:
    said = set()
    for seed in range(20):
        tables["push"].reset(seed)
        said.add(tables["push"].abilities.instruction)
    assert len(said) > 5


def test_what_is_pictured_is_the_table(tables: dict[str, Table]) -> None:
    try:
        picture = tables["push"].render()
    except InputError as error:
        pytest.skip(str(error))
    assert picture.shape[-1] == 3
    assert picture.std() > 10


@pytest.mark.parametrize(
    ("states", "task"),
    [
        (moved(drawer_y=(0.0, -0.01, -0.03)), "drawer-open"),
        (moved(drawer_y=(0.0, 0.03)), "drawer-close"),
        (moved(window_x=(0.0, 0.03), drawer_y=(0.0, 0.01)), "window-open"),
        (moved(window_x=(0.0, -0.03)), "window-close"),
        (moved(button_y=(0.0, 0.03)), "button-press"),
        (moved(puck_x=(0.0, -0.03), puck_z=(0.02, 0.02)), "push"),
        (moved(puck_z=(0.02, 0.06, 0.06), puck_x=(0.0, 0.03, 0.05)), "pick-place"),
        (moved(button_y=(0.0, 0.0, 0.03), drawer_y=(0.0, 0.03, 0.03)), "drawer-close"),
        (moved(hand_x=(0.0, 0.5)), None),
    ],
)
def test_what_moved_first_was_attempted(states: Array, task: str | None) -> None:
    assert attempted(states) == task


def test_an_unknown_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="drawer-open"):
        simulator("metaworld/fly")
