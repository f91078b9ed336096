"""Tables of mixed columns: likelihoods by the stated rules, frames as they came, exact conditionals, kept and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import stats

from lowerbound.errors import InputError
from lowerbound.mixtures.table import TableMixture

N = 600


def frame(count: int = N, seed: int = 0) -> pd.DataFrame:
    """A column of every kind, all of which depend on sex."""
    draw = np.random.default_rng(seed)
    female = draw.random(count) < 0.5
    income = np.where(draw.random(count) < 0.3, 0.0, np.exp(9 + female + draw.normal(size=count)).round(2))
    days = (3000 + 400 * female + 100 * draw.normal(size=count)).round()
    found = pd.DataFrame(
        {
            "sex": pd.Categorical(np.where(female, "f", "m"), categories=["m", "f", "x"]),
            "city": np.where(female, *draw.choice(["Ulm", "Bonn", "Kiel"], (2, count), p=[0.5, 0.3, 0.2])),
            "height": (165 + 13 * ~female + 6 * draw.normal(size=count)).round(1),
            "income": income,
            "gain": draw.standard_t(2, count) * 1000,
            "visits": draw.negative_binomial(2, 0.2, count),
            "calls": draw.poisson(3 + 9 * female),
            "rating": draw.choice([1, 2, 5], count, p=[0.6, 0.1, 0.3]),
            "member": draw.random(count) < 0.2,
            "joined": pd.Timestamp("2010-01-01") + pd.to_timedelta(days, unit="D"),
            "none": np.full(count, np.nan),
            "one": 7,
        }
    )
    found.loc[draw.random(count) < 0.2, "height"] = np.nan
    found.loc[draw.random(count) < 0.2, "city"] = None
    found.loc[draw.random(count) < 0.1, "sex"] = None
    return found


@pytest.fixture(scope="module")
def table() -> TableMixture:
    return TableMixture.fit(frame(), components=3)


def test_each_column_gets_the_likelihood_that_the_rules_name(table: TableMixture) -> None:
    assert {each.name: each.likelihood for each in table.columns} == {
        "sex": "bernoulli",
        "city": "categorical",
        "height": "gaussian",
        "income": "spiked-log-normal",
        "gain": "student",
        "visits": "negative-binomial",
        "calls": "poisson",
        "rating": "categorical",
        "member": "bernoulli",
        "joined": "gaussian",
        "none": "empty",
        "one": "constant",
    }
    said = dict(line.split(": ", 1) for line in table.why)
    assert said["city"].startswith("text, 3 different values, 20% missing; categorical")
    assert "ahead of" in said["gain"]
    assert "nats on held-out rows" in said["gain"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_frames_come_back_as_they_came(kind: str) -> None:
    some: Any = frame()
    if kind != "pandas":
        some = pl.from_pandas(some).with_columns(pl.col("city").cast(pl.Categorical), pl.col("calls").cast(pl.Int8))
    if kind == "arrow":
        some = some.to_arrow()
    table = TableMixture.fit(some, components=2, restarts=1)
    drawn = table.sample(50)
    if kind == "pandas":
        assert (drawn.dtypes == some.dtypes).all()
        assert list(drawn["sex"].cat.categories) == ["m", "f", "x"]
        assert set(drawn["sex"]) <= {"m", "f"}
        assert drawn.drop(columns="none").notna().all().all()
    else:
        assert drawn.schema == some.schema
    assert len(drawn) == 50
    filled = table.impute(some)
    assert type(filled) is type(some)
    if kind == "pandas":
        known = some.notna()
        assert filled.where(known).equals(some.where(known))
        assert filled.drop(columns="none").notna().all().all()


def test_log_p_is_the_density_of_the_numbers_themselves() -> None:
    x = np.random.default_rng(0).normal(50, 5, 400)
    names = {"gaussian": stats.norm, "log-normal": None}
    for name in names:
        table = TableMixture.fit({"x": x}, components=1, likelihoods={"x": name})
        grid = np.linspace(1, 120, 20_001)
        density = table.log_prob({"x": grid}).exp().numpy()
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    exact = stats.norm.logpdf(x, x.mean(), x.std())
    found = TableMixture.fit({"x": x}, components=1, likelihoods={"x": "gaussian"}).log_prob({"x": x})
    assert found.mean().item() == pytest.approx(exact.mean(), abs=1e-4)


def test_counts_and_codes_sum_to_one() -> None:
    some = frame()[["visits", "city"]]
    table = TableMixture.fit(some, components=2)
    visits = np.arange(400)
    each = [table.log_prob({"visits": visits, "city": [city] * 400}).exp().sum() for city in ("Ulm", "Bonn", "Kiel")]
    assert sum(each).item() == pytest.approx(1, abs=1e-6)


def test_given_some_columns_the_others_follow_by_bayes(table: TableMixture) -> None:
    names = list(frame().columns)

    def log_prob(**known: Any) -> float:
        return table.log_prob({name: [known.get(name)] for name in names}).item()

    given = {"sex": "f", "height": 170.0}
    drawn = table.sample(20_000, given=given, seed=1)
    assert set(drawn["sex"]) == {"f"}
    assert set(drawn["height"]) == {170.0}
    for member in (True, False):
        exact = np.exp(log_prob(**given, member=member) - log_prob(**given))
        assert (drawn["member"] == member).mean() == pytest.approx(exact, abs=0.018)  # five standard errors
    exact = np.exp(log_prob(**given, income=0.0) - log_prob(**given))
    assert (drawn["income"] == 0).mean() == pytest.approx(exact, abs=0.018)
    assert drawn["calls"].mean() > table.sample(20_000, given={"sex": "m"}, seed=1)["calls"].mean() + 5


def test_draws_are_of_the_seed(table: TableMixture) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert table.sample(5, seed=3).equals(table.sample(5, seed=3))
    assert not table.sample(5, seed=3).equals(table.sample(5, seed=4))
    assert torch.equal(torch.get_rng_state(), before)
    one, two = table.draws(frame(50), 2)
    known = frame(50).notna()
    assert one.where(known).equals(frame(50).where(known))
    assert not one["height"].equals(two["height"])


def test_kept_and_read_it_says_the_same(table: TableMixture, tmp_path: Path) -> None:
    table.save(tmp_path / "kept")
    again = TableMixture.load(tmp_path / "kept")
    assert torch.equal(again.log_prob(frame()), table.log_prob(frame()))
    assert again.sample(20).equals(table.sample(20))
    assert again.why == table.why


def test_what_was_tampered_with_is_refused(table: TableMixture, tmp_path: Path) -> None:
    table.save(tmp_path)
    place = tmp_path / "table.json"
    content = json.loads(place.read_text())
    for change in (
        {"format": 9},
        {"columns": content["columns"][:-1]},
        {"columns": [{"form": "Path", "name": "x"}, *content["columns"][1:]]},
        {"schema": "00"},
        {"why": 3},
        {"mixture": {"kind": "group", "fields": {}}},
    ):
        place.write_text(json.dumps({**content, **change}))
        with pytest.raises(InputError):
            TableMixture.load(tmp_path)
    place.write_text(json.dumps(content))
    (tmp_path / "table.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="no whole table"):
        TableMixture.load(tmp_path)


def test_the_number_of_components_is_found() -> None:
    draw = np.random.default_rng(0)
    group = draw.integers(4, size=2000)
    some = {"x": 10 * (group % 2) + draw.normal(size=2000), "y": 10 * (group // 2) + draw.normal(size=2000)}
    assert TableMixture.fit(some, likelihoods={"x": "gaussian", "y": "gaussian"}).mixture.shape == (1, 4)


def test_files_are_read(tmp_path: Path) -> None:
    some = frame()[["city", "height", "calls"]]
    some.to_csv(tmp_path / "some.csv", index=False)
    some.to_parquet(tmp_path / "some.parquet", index=False)
    found = [TableMixture.fit(tmp_path / f"some.{end}", components=2) for end in ("csv", "parquet")]
    assert torch.allclose(found[0].log_prob(some), found[1].log_prob(some))


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no rows": ({"x": []}, {}, "no rows"),
    "no table": (3, {}, "no table"),
    "infinite": ({"x": [1.0, np.inf, 2.0]}, {}, "infinite"),
    "names of rows": ({"x": [f"row {i}" for i in range(300)]}, {}, "leave it out"),
    "unknown likelihood": ({"x": [1.0, 2.0, 3.0]}, {"x": "cauchy"}, "choose one of"),
    "unknown column": ({"x": [1.0, 2.0, 3.0]}, {"y": "gaussian"}, "no column 'y'"),
    "impossible": ({"x": [1.5, 2.0, 3.0]}, {"x": "poisson"}, "holds 1.5"),
    "not positive": ({"x": [-1.5, 2.0, 3.0]}, {"x": "log-normal"}, "positive"),
    "text as numbers": ({"x": ["a", "b", "c"]}, {"x": "gaussian"}, "categorical"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_modelled_is_refused_in_a_sentence(case: str) -> None:
    some, likelihoods, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        TableMixture.fit(some, components=1, likelihoods=likelihoods)


def test_new_rows_that_are_impossible_are_refused(table: TableMixture) -> None:
    some = frame(5)
    with pytest.raises(InputError, match="holds 'Rome'"):
        table.log_prob(some.assign(city="Rome"))
    with pytest.raises(InputError, match="holds -3"):
        table.sample(1, given={"calls": -3})
    with pytest.raises(InputError, match="no column 'age'"):
        table.sample(1, given={"age": 3})
    with pytest.raises(InputError, match="no column 'one'"):
        table.log_prob(some.drop(columns="one"))
    with pytest.raises(InputError, match="convert it"):
        table.log_prob(some.assign(height="tall"))


def test_odd_types_are_taken_or_refused(tmp_path: Path) -> None:
    some = pl.DataFrame(
        {
            "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 3, 1), eager=True),
            "code": pl.Series([1, 2, 3] * 20 + [1]).cast(pl.Int8),
            "price": pl.Series([1.5, 2.25, 3.5] * 20 + [1.5]).cast(pl.Decimal(10, 2)),
            "wave": pl.Series([float("nan"), 1.0, 2.5] * 20 + [4.0], dtype=pl.Float32),
        }
    ).with_columns(pl.col("day").cast(pl.Datetime(time_zone="UTC")).alias("instant"))
    table = TableMixture.fit(some, components=2, restarts=1)
    drawn = table.sample(10)
    assert drawn.schema == {**some.schema, "price": pl.Float64}
    assert not drawn["wave"].is_nan().any()
    assert table.impute(some)["wave"].is_nan().sum() == 0
    table.save(tmp_path)
    assert TableMixture.load(tmp_path).sample(10).equals(drawn)
    coded = TableMixture.fit(pd.DataFrame({"x": pd.Categorical([3, 1, 2] * 9)}), components=1)
    assert coded.columns[0].likelihood == "categorical"
    one_day = TableMixture.fit(pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 9)}), components=1)
    assert one_day.sample(2)["day"].dt.year.tolist() == [2020, 2020]
    with pytest.raises(InputError, match="nothing is known"):
        TableMixture.fit({"x": [[1], [2]]})
