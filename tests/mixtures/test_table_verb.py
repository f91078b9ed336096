"""The verb table: fitted, kept, asked again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli.command import run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    female = draw.random(300) < 0.5
    frame = pd.DataFrame(
        {"sex": np.where(female, "f", "m"), "height": (178 - 13 * female + draw.normal(size=300)).round(1)}
    )
    frame.loc[:20, "height"] = np.nan
    frame.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path


def test_a_table_is_fitted_kept_and_asked(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, kept = str(people / "people.csv"), str(people / "kept")
    assert run(["table", data, "--out", kept, "--components", "2", "--likelihood", "height=student"]) == 0
    said = capsys.readouterr().out
    assert "height: numbers" in said
    assert "student, as asked for" in said
    new, filled = str(people / "new.parquet"), str(people / "filled.csv")
    words = ["--samples", new, "--count", "50", "--given", "sex=f", "--fill", data, "--filled", filled, "--json"]
    assert run(["table", kept, *words]) == 0
    assert json.loads(capsys.readouterr().out)["components"] == 2
    drawn, whole = pd.read_parquet(new), pd.read_csv(filled)
    assert set(drawn["sex"]) == {"f"}
    assert drawn["height"].median() == pytest.approx(165, abs=1)
    assert whole["height"].notna().all()
    assert whole["height"][21:].tolist() == pd.read_csv(data)["height"][21:].tolist()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--given", "age"], "is no COLUMN=VALUE"),
        (["--fill", "a.csv"], "go together"),
        (["--samples", "new.xlsx"], "must end in"),
        (["--components", "0"], "at least 1"),
        (["--likelihood", "sex=gaussian"], "categorical"),
    ],
)
def test_what_cannot_be_is_refused(
    people: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert run(["table", str(people / "people.csv"), *words]) == 2
    assert says in capsys.readouterr().err
