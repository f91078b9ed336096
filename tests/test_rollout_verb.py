"""From demonstrations by the command line to a policy that acts, and refusals on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lowerbound.cli.command import run
from lowerbound.robots.simulators import FAMILIES, named_for
from worlds import beads  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("beads")
TRAINED = ["--chunk", "4", "--latent", "1", "--width", "8", "--heads", "1", "--layers", "1", "--epochs", "1", "--quiet"]


@pytest.fixture
def policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["demos", "bead", "--episodes", "12", "--out", str(tmp_path / "demos"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 144
    line = ["train", "act", "--data", str(tmp_path / "demos"), "--out", str(tmp_path / "run"), "--batch-size", "16"]
    assert run([*line, *TRAINED]) == 0
    return tmp_path / "run"


def test_a_policy_acts_the_same_each_time(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["rollout", str(policy), "--simulator", "bead", "--episodes", "3"]
    found = []
    for way in ([], [], ["--every", "4", "--newest"]):
        assert run([*line, *way, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    rates = {"control_steps_per_second", "actions_per_second"}
    first, again, other = [{k: v for k, v in each.items() if k not in rates} for each in found]
    assert first == again
    assert (first["simulator"], first["seed"], first["episodes"], first["mean_steps"]) == ("bead", 1000, 3, 12)
    assert other["episodes"] == 3
    film = tmp_path / "film.gif"
    assert run([*line, "--video", str(film)]) == 0
    assert film.stat().st_size > 0
    said = capsys.readouterr().out
    assert "of 3 episodes of bead succeeded" in said
    assert f"wrote {film}" in said
    assert run([*line, "--video", str(film)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--episodes", "0"], "roll out 1 episode or more, not 0"),
        (["--video", "film.avi"], "film.avi must end in one of"),
        (["--simulator", "bed"], 'there is no simulator "bed"'),
        ([], "of bead; say of which task: --simulator bead/TASK"),
        (["--simulator", "bead", "--every", "5"], "a chunk has 4"),
    ],
)
def test_refusals(policy: Path, capsys: pytest.CaptureFixture[str], line: list[str], said: str) -> None:
    assert run(["rollout", str(policy), *line]) == 2
    assert said in capsys.readouterr().err


def test_demos_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demos", "--out", str(tmp_path / "demos")]) == 2
    assert "name one or more simulators" in capsys.readouterr().err
    assert run(["demos", "bead", "--out", str(tmp_path)]) == 0
    assert run(["demos", "bead", "--out", str(tmp_path)]) == 2


def test_the_simulator_is_known_by_its_robot() -> None:
    assert named_for("lerobot:50:aloha") == "aloha-transfer-cube"
    for form, said in (("lerobot:80:sawyer", "--simulator metaworld/TASK"), (None, "unknown")):
        with pytest.raises(ValueError, match=said):
            named_for(form)
    assert set(FAMILIES) >= {"aloha-transfer-cube", "metaworld"}
