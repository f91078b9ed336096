"""The simulated arms against gym-aloha's own environment, and the script that hands the cube over."""

from __future__ import annotations

import numpy as np
import pytest

from lowerbound.errors import InputError, MissingExtraError
from lowerbound.robots.demonstrations import performed
from lowerbound.robots.reaching import GRIP, Pose
from lowerbound.robots.simulators import simulator
from lowerbound.robots.transfer import LEFT, RIGHT, Manner, Transfer, planned, stages

POSES = [Pose(0.05, 0.55, 0.1, 0.4, 0.3), Pose(-0.02, 0.42, 0.25, 0.0, 1.57), Pose(0.1, 0.5, 0.02, 1.1, 0.0)]
MANNER = Manner(1.0, (0.0, 0.5, 0.25))


@pytest.fixture(scope="module")
def world():
    try:
        return simulator("aloha-transfer-cube")
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def theirs():
    """gym-aloha's environment, asked for states without pictures."""
    env = pytest.importorskip("gym_aloha.env")
    sim = pytest.importorskip("gym_aloha.tasks.sim")

    class Blind(sim.TransferCubeTask):
        def get_observation(self, physics):
            return {"qpos": self.get_qpos(physics), "cube": self.get_env_state(physics)}

    physics = env.mujoco.Physics.from_xml_path(str(env.ASSETS_DIR / "bimanual_viperx_transfer_cube.xml"))
    made = env.control.Environment(physics, Blind(), float("inf"), control_timestep=env.DT)

    def reset(seed, guess):
        sim.BOX_POSE[0] = env.sample_box_pose(seed)
        found = made.reset().observation
        physics.data.qacc_warmstart[:] = guess
        return found

    return reset, made.step


def test_states_and_rewards_are_those_of_gym_aloha(world, theirs):
    reset, step = theirs
    """The constraint solver's first guess, which dm_control makes without motors, is made the same; then all is."""
    state, shown = world.reset(7), reset(7, world.data.qacc_warmstart)
    script, found = Transfer(MANNER), []
    for _ in range(400):
        assert np.array_equal(state, np.concatenate([shown["qpos"], shown["cube"]]).astype(np.float32))
        action = script(state)
        state, reward, done = world.step(action)
        _, expected, _, shown = step(action)
        assert reward == expected
        found.append(reward)
    assert done
    assert set(found) >= {0, 1, 2, 4}


def test_same_seed_same_episode_whatever_was_before(world):
    first = performed(world, 3)
    performed(world, 4)
    again = performed(world, 3)
    assert np.array_equal(first.states, again.states)
    assert np.array_equal(first.actions, again.actions)
    assert not np.array_equal(first.states[0], performed(world, 4).states[0])


def test_the_script_hands_the_cube_over_and_holds_it(world):
    """It did so of each of the seeds 0 to 199; here are the corners of what there is, and the first of them."""
    for seed in range(4):
        assert performed(world, seed).success
        assert world.step(np.asarray(performed(world, seed).actions[-1])).reward == 4


def test_states_and_actions_are_named_and_of_ordinary_size(world):
    episode = performed(world, 0)
    assert episode.states.shape == (400, len(world.abilities.states)) == (400, 21)
    assert episode.actions.shape == (400, len(world.abilities.actions)) == (400, 14)
    assert episode.states.dtype == episode.actions.dtype == np.float32
    assert np.abs(episode.states).max() < 3


@pytest.mark.parametrize("arm", [LEFT, RIGHT], ids=["left", "right"])
@pytest.mark.parametrize("pose", POSES)
def test_joints_bring_the_grip_where_it_is_to_be(world, arm, pose):
    """Forward kinematics of the model, which the closed form knows nothing of, lead back to the pose."""
    side, first = ("left", 0) if arm is LEFT else ("right", 8)
    world.reset(0)
    world.data.qpos[first : first + 6] = arm.reach(pose)
    world.physics.mj_kinematics(world.model, world.data)
    gripper = world.data.body(f"vx300s_{side}/gripper_link")
    along = gripper.xmat.reshape(3, 3)[:, 0]
    np.testing.assert_allclose(gripper.xpos + GRIP * along, [pose.x, pose.y, pose.z], atol=2e-5)
    assert np.arcsin(-along[2]) == pytest.approx(pose.pitch, abs=1e-4)


def test_what_is_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="reaches no wrist"):
        LEFT.reach(Pose(0.9, 0.5, 0.1))


def test_drawn_back_is_along_the_gripper():
    pose = Pose(0.1, 0.45, 0.02, 1.0, 0.2)
    back = RIGHT.back(pose, 0.1)
    assert np.linalg.norm([back.x - pose.x, back.y - pose.y, back.z - pose.z]) == pytest.approx(0.1)
    assert RIGHT.reach(back)[0] == pytest.approx(RIGHT.reach(pose)[0])


def test_a_plan_ends_every_stage_where_it_should():
    state = np.zeros(21)
    state[14:16] = 0.1, 0.5
    plan, at = planned(state, MANNER), 0
    for stage in stages(0.1, 0.5, MANNER):
        at += stage.steps
        np.testing.assert_allclose(plan[at - 1], stage.joints())
    assert len(plan) == at


def test_after_the_plan_the_last_place_is_kept():
    state = np.zeros(21)
    state[14:16] = 0.1, 0.5
    script = Transfer(MANNER)
    actions = [script(state) for _ in range(400)]
    assert np.array_equal(actions[-1], stages(0.1, 0.5, MANNER)[-1].joints())


def test_a_task_after_the_slash_is_refused():
    with pytest.raises(InputError, match="is one task, and takes none"):
        simulator("aloha-transfer-cube/lift")


def test_pictures_show_the_cube(world):
    """Red where there is else no colour; skipped where nothing can draw."""
    world.reset(0)
    try:
        picture = world.render().astype(int)
    except InputError as error:
        pytest.skip(str(error))
    red = (picture[..., 0] > 100) & (picture[..., 1:].max(-1) < 60)
    assert picture.shape == (240, 320, 3)
    assert 10 < red.sum() < 1000


def test_an_episode_in_which_physics_gives_way_is_over_and_leaves_no_file(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world.reset(0)
    world.data.qvel[:] = 1e12
    moment = world.step(np.zeros(14))
    assert (moment.done, moment.reward, world.succeeded) == (True, 0.0, False)
    assert np.isfinite(moment.state).all()
    assert not [*tmp_path.iterdir()]
    world.reset(0)
    assert not world.step(np.zeros(14)).done
