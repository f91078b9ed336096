"""The command: every verb end to end, its JSON, its refusals and their exit codes, and how soon it helps."""

import importlib.metadata
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

import lowerbound
from lowerbound import doctor
from lowerbound.cli import command, progress
from lowerbound.cli.command import VERBS, run
from lowerbound.cli.verb import Answer, Common
from lowerbound.errors import DivergedError, Interrupted, MissingExtraError

TINY = ["--latent", "3", "--hidden", "16", "--epochs", "2", "--batch-size", "256"]

Ask = Callable[..., tuple[int, str, str]]
Answered = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "digits"
    assert run(["train", "vae", "--data", "digits", "--out", str(path), "--quiet", *TINY]) == 0
    return path


@pytest.fixture
def answer(ask: Ask) -> Answered:
    """The JSON object that a command line prints, alone, to stdout."""

    def answered(*args: object) -> Any:
        code, out, err = ask(*args, "--json")
        assert (code, out.count("\n")) == (0, 1), err
        return json.loads(out, parse_constant=pytest.fail)

    return answered


def elsewhere(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, capture_output=True, text=True, timeout=60, **options)


# --- help --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", ["--help", "--version", "smaple", "train", *(f"{verb} --help" for verb in VERBS)])
def test_help_needs_no_torch(args: str) -> None:
    code = f"import sys; from lowerbound.cli.command import run; run({args.split()}); print(*sys.modules)"
    modules = elsewhere(sys.executable, "-c", code).stdout.splitlines()[-1].split()
    assert not {"torch", "numpy", "matplotlib", "sklearn", "rich"} & set(modules)


def test_help_takes_less_than_a_third_of_a_second() -> None:
    """Of processor time, which a busy machine does not stretch; nothing in help waits for anything else."""

    def seconds() -> float:
        before = os.times()
        elsewhere(sys.executable, "-m", "lowerbound", "--help")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.3


def test_help_lists_the_verbs_and_a_recipe_its_arguments(ask: Ask) -> None:
    code, out, _ = ask("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)
    code, out, _ = ask("train", "vae", "--help")
    assert code == 0
    assert all(option in out for option in ("--latent", "--free-bits", "--batch-size", "--json", "RECIPE"))
    assert ask("sample", "somewhere", "--help")[1].count("Folder of a trained run") == 1


def test_the_version_is_that_of_the_package(ask: Ask) -> None:
    assert ask("--version")[1] == f"lowerbound {importlib.metadata.version('lowerbound')}\n"


# --- verbs -------------------------------------------------------------------------------------------------------


def test_train_says_what_it_left(answer: Answered, tmp_path: Path) -> None:
    found = answer("train", "vae", "--data", "digits", "--out", tmp_path / "run", *TINY)
    assert found["run"] == str(tmp_path / "run")
    assert found["state"] == "trained"
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert (record["arguments"]["latent"], record["settings"]["epochs"]) == (3, 2)
    assert answer("train", "--resume", tmp_path / "run")["state"] == "trained"


def test_training_tells_stderr_how_far_it_is_and_quiet_does_not(ask: Ask, tmp_path: Path) -> None:
    code, out, err = ask("train", "vae", "--data", "digits", "--out", tmp_path / "a", *TINY)
    assert (code, "epoch 2/2" in err, "lowerbound evaluate" in out) == (0, True, True)
    assert ask("train", "vae", "--data", "digits", "--out", tmp_path / "b", "--quiet", *TINY) == (0, "", "")


def test_evaluate_keeps_its_figures_in_the_run(answer: Answered, ask: Ask, trained: Path) -> None:
    found = answer("evaluate", trained, "--particles", "20")
    assert found == json.loads((trained / "evaluation-test.json").read_text())
    assert (found["split"], found["count"], found["particles"], found["units"]) == ("test", 179, 20, "nats")
    assert found["elbo"]["value"] <= found["log_p"]["value"] + 3 * found["log_p"]["monte_carlo"]
    text = ask("evaluate", trained, "--particles", "20")[1]
    assert f"{found['log_p']['value']:.2f} ± {found['log_p']['stderr']:.2f}" in text


def test_figures_of_other_data_are_not_kept_as_the_runs(ask: Ask, tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(ord(name)).normal(size=(60, 3)))
    ask("train", "vae", "--data", tmp_path / "a.npy", "--out", tmp_path / "run", *TINY)
    kept = tmp_path / "run" / "evaluation-all.json"
    evaluate = ("evaluate", tmp_path / "run", "--split", "all", "--particles", "3")
    assert ask(*evaluate, "--data", tmp_path / "b.npy")[0] == 0
    assert not kept.exists()
    assert ask(*evaluate)[0] == 0
    assert kept.exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".png"])
def test_sample_writes_what_the_ending_says(answer: Answered, trained: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"samples{suffix}"
    assert answer("sample", trained, "--count", "12", "--out", out) == {"count": 12, "out": str(out)}
    read = {
        ".npy": lambda: np.load(out).shape == (12, 8, 8),
        ".npz": lambda: np.load(out)["x"].shape == (12, 8, 8),
        ".parquet": lambda: pyarrow.parquet.read_table(out).shape == (12, 64),
        ".png": lambda: Image.open(out).format == "PNG",
    }
    assert read[suffix]()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_seed_fixes_the_samples(ask: Ask, trained: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        ask("sample", trained, "--seed", seed, "--draw", "--out", tmp_path / f"{name}.npy")
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_pictures_of_reconstructions_and_of_a_path(answer: Answered, trained: Path, tmp_path: Path) -> None:
    assert answer("reconstruct", trained, "--count", "10", "--out", tmp_path / "r.png")["count"] == 10
    path = answer("interpolate", trained, "--from", "0", "--to", "3", "--steps", "6", "--out", tmp_path / "i.png")
    assert path["count"] == 6
    width, height = Image.open(tmp_path / "i.png").size
    assert width > 5 * height


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_decode_takes_what_encode_wrote(answer: Answered, trained: Path, tmp_path: Path, suffix: str) -> None:
    codes, out = tmp_path / f"z{suffix}", tmp_path / "x.npy"
    assert answer("encode", trained, "--split", "test", "--out", codes)["count"] == 179
    answer("decode", trained, codes, "--out", out)
    answer("reconstruct", trained, "--count", "179", "--out", tmp_path / "r.npy")
    np.testing.assert_allclose(np.load(out), np.load(tmp_path / "r.npy"), atol=1e-4)


def test_codes_come_with_their_rows_and_labels(answer: Answered, trained: Path, tmp_path: Path) -> None:
    assert answer("encode", trained, "--out", tmp_path / "z.parquet")["count"] == 1797
    table = pyarrow.parquet.read_table(tmp_path / "z.parquet")
    assert table.column_names == ["z0", "z1", "z2", "row", "label"]
    assert table["row"].to_pylist() == list(range(1797))


def test_a_traversal_is_a_row_a_dimension(answer: Answered, trained: Path, tmp_path: Path) -> None:
    found = answer("traverse", trained, "--row", "3", "--dims", "2", "0", "--steps", "5", "--out", tmp_path / "t.npz")
    arrays = np.load(tmp_path / "t.npz")
    assert (found["dims"], arrays["x"].shape, arrays["dim"].tolist()) == ([2, 0], (10, 8, 8), [2] * 5 + [0] * 5)
    np.testing.assert_allclose(arrays["value"], np.ravel(found["values"]))
    assert sorted(answer("traverse", trained, "--steps", "4", "--out", tmp_path / "t.png")["dims"]) == [0, 1, 2]
    width, height = Image.open(tmp_path / "t.png").size
    assert width / 4 == pytest.approx(height / 3, rel=0.02)


def test_attributes_are_found_shown_kept_and_used_again(answer: Answered, trained: Path, tmp_path: Path) -> None:
    ask, kept, shown = ("attributes", trained), tmp_path / "d.json", ("--count", "3", "--steps", "4", "--out")
    found = answer(*ask, "--from", "0", "--to", "1", "--keep", kept, *shown, tmp_path / "a.npy")
    assert (found["from"], found["to"], sum(found["counts"]) > 250) == ("0", "1", True)
    assert 0.5 < found["auroc"] <= 1
    assert answer(*ask, "--use", kept, *shown, tmp_path / "b.npy")["auroc"] == found["auroc"]
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert a.shape == (12, 8, 8)
    assert np.array_equal(a, b)
    assert answer(*ask, "--to", "1", *shown, tmp_path / "c.png")["from"] == "the rest"
    rows = np.flatnonzero(lowerbound.load_data("digits").split("test").condition == 0)[:3]
    answer("reconstruct", trained, "--count", "179", "--out", tmp_path / "r.npy")
    np.testing.assert_allclose(a[::4], np.load(tmp_path / "r.npy")[rows], atol=1e-3)


def test_features_compare_codes_with_components_and_values(answer: Answered, ask: Ask, trained: Path) -> None:
    found = answer("features", trained, "--count", "100")
    assert [found[name]["width"] for name in ("codes", "pca", "raw")] == [3, 3, 64]
    assert f"{found['raw']['knn']['accuracy']:.2%}" in ask("features", trained, "--count", "100")[1]


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_anomalies_are_scored_by_the_row(answer: Answered, trained: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"scores{suffix}"
    found = answer("anomaly", trained, "--label", "7", "--particles", "3", "--out", out)
    read = {".npz": np.load, ".parquet": pyarrow.parquet.read_table, ".csv": pyarrow.csv.read_csv}
    scores = read[suffix](out)
    assert set(found["scores"]) == {"minus_log_p", "rate", "distortion", "error"}
    assert found["anomalies"] == np.asarray(scores["anomaly"]).sum() == 26
    assert np.isfinite(np.asarray(scores["minus_log_p"])).all()


def test_other_data_are_the_anomalies(answer: Answered, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "usual.npy", random.normal(size=(200, 3)))
    np.save(tmp_path / "strange.npy", random.normal(6.0, 1.0, size=(100, 3)))
    answer("train", "vae", "--data", tmp_path / "usual.npy", "--out", tmp_path / "run", *TINY)
    found = answer("anomaly", tmp_path / "run", "--against", tmp_path / "strange.npy", "--particles", "3")
    assert (found["count"], found["anomalies"]) == (30, 10)
    assert found["scores"]["minus_log_p"]["auroc"] > 0.95
    few = answer("anomaly", tmp_path / "run", "--against", tmp_path / "strange.npy", "--count", "4", "--particles", "3")
    assert (few["count"], few["anomalies"]) == (8, 4)


def test_known_factors_are_asked_for_and_scored(answer: Answered, ask: Ask, trained: Path, tmp_path: Path) -> None:
    assert "several labels" in ask("disentanglement", trained)[2]
    small = ("--latent", "2", "--hidden", "8", "--epochs", "1", "--batch-size", "4096")
    answer("train", "vae", "--data", "shapes", "--out", tmp_path / "run", *small)
    found = answer("disentanglement", tmp_path / "run", "--split", "validation")
    assert (found["count"], len(found["information"])) == (9216, 5)
    assert 0 <= found["mig"] <= 1


def test_log_prob_of_every_row(answer: Answered, trained: Path, tmp_path: Path) -> None:
    found = answer("log-prob", trained, "--particles", "5", "--split", "test", "--out", tmp_path / "p.npz")
    assert np.load(tmp_path / "p.npz")["log_p"].mean() == pytest.approx(found["mean"], rel=1e-5)
    assert found["particles"] == 5


def test_log_prob_says_how_far_each_row_can_be_believed(answer: Answered, trained: Path, tmp_path: Path) -> None:
    options = ("--particles", "auto", "--split", "test", "--out", tmp_path / "p.parquet")
    found = answer("log-prob", trained, *options)
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pydict()
    assert list(table) == ["log_p", "row", "stderr", "ess", "khat", "particles", "believed"]
    assert found["doubtful"] == table["believed"].count(False)
    assert found["particles"] == pytest.approx(np.mean(table["particles"]))
    assert set(table["particles"]) <= {200, 800, 3200, 12_800}


def test_log_prob_by_annealing(answer: Answered, trained: Path, tmp_path: Path) -> None:
    options = ("--method", "ais", "--steps", "5", "--chains", "4", "--split", "test", "--out", tmp_path / "p.npz")
    found, columns = answer("log-prob", trained, *options), np.load(tmp_path / "p.npz")
    assert set(columns) == {"log_p", "row", "stderr", "ess", "acceptance"}
    assert (found["method"], columns["log_p"].mean()) == ("ais", pytest.approx(found["mean"], rel=1e-5))


def test_sandwich_bounds_log_p_from_both_sides(answer: Answered, ask: Ask, trained: Path) -> None:
    options = ("--count", "9", "--steps", "20", "--chains", "4")
    found = answer("sandwich", trained, *options)
    assert (found["count"], found["steps"], found["chains"], found["units"]) == (9, 20, 4, "nats")
    assert found["width"]["value"] == pytest.approx(found["upper"]["value"] - found["lower"]["value"])
    assert f"{found['width']['value']:.3f} ±" in ask("sandwich", trained, *options)[1]
    assert ask("sandwich", trained, "--steps", "0")[0] == 2


def test_report_is_one_page_with_pictures(answer: Answered, ask: Ask, trained: Path, tmp_path: Path) -> None:
    figures = answer("evaluate", trained, "--particles", "20")
    found = answer("report", trained, "--out", tmp_path / "report.html")
    assert found["numbers"] == figures
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 6
    assert f"{-figures['log_p']['value']:.2f}" in page
    assert ask("report", trained, "--out", tmp_path / "report.html")[0] == 2


def test_report_computes_figures_that_are_not_there(answer: Answered, trained: Path, tmp_path: Path) -> None:
    (trained / "evaluation-validation.json").write_text('{"cut": ')
    found = answer("report", trained, "--split", "validation", "--particles", "5", "--out", tmp_path / "report.html")
    assert (found["numbers"]["split"], found["numbers"]["particles"]) == ("validation", 5)


def test_a_report_of_rows_that_are_no_pictures(answer: Answered, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    answer("train", "vae", "--data", tmp_path / "x.npy", "--out", tmp_path / "run", *TINY)
    answer("report", tmp_path / "run", "--particles", "3")
    assert (tmp_path / "run" / "report.html").read_text().count("<img") == 3


def test_recipes_and_their_arguments(answer: Answered, ask: Ask) -> None:
    assert "vae" in answer("recipes")["recipes"]
    assert answer("recipes", "vae")["arguments"]["latent"] == {"default": 50, "help": "dimensions of z."}
    assert "free_bits" in ask("recipes", "vae")[1]


def test_data_says_which_likelihood_and_why(answer: Answered, ask: Ask, tmp_path: Path) -> None:
    assert set(answer("data")["sources"]) >= {"digits", "mnist"}
    found = answer("data", "digits")
    assert (found["count"], found["likelihood"]) == (1797, "bernoulli")
    assert found["why"] in ask("data", "digits")[1]
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 5, (30, 2)))
    assert answer("data", tmp_path / "x.npy")["variables"][0]["kind"] == "count"
    assert answer("data", tmp_path / "x.npy", "--kind", "real")["variables"][0]["kind"] == "real"


def test_doctor_names_what_is_missing_and_the_cure(answer: Answered, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answer("doctor")
    assert found["libraries"]["torch"]
    assert found["cache"]["sets"]["digits"] is True
    true_version = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "tensorboard" else true_version(name))
    monkeypatch.setattr(doctor, "compiler", lambda: None)
    assert answer("doctor")["extras"]["tensorboard"]["install"] == "pip install 'lowerbound[tensorboard]'"
    text = ask("doctor")[1]
    assert "tensorboard: missing; pip install 'lowerbound[tensorboard]'" in text
    assert "install g++" in text


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("smaple", 'did you mean "sample"'),
        ("train vea --data digits --out {new}", "did you mean 'vae'"),
        ("train vae --data nowhere.csv --out {new}", "there is no file and no named source nowhere.csv"),
        ("train vae --data digits --out {run}", "holds a run"),
        ("train vae --data digits --out {new} --likelihood poisson", "poisson is no likelihood"),
        ("train vae --data digits --out {new} --epochs 0", "at least 1"),
        ("train vae --data digits --out {new} --latent 0", "at least 1"),
        ("train --resume {new}", "there is no run at"),
        ("evaluate {new}", "there is no run at"),
        ("evaluate {run} --particles 0", "particles must be"),
        ("sample {run} --out {new}.txt", "must end in one of: .png, .npy, .npz, .parquet, .csv"),
        ("sample {run} --out {run}/recipe.json", "must end in one of"),
        ("reconstruct {run} --count -1 --out {new}.png", "count must be a whole number of at least 1"),
        ("encode {run} --out {new}.png", "must end in one of: .npy"),
        ("interpolate {run} --from 0 --to 179 --out {new}.png", "rows 0 to 178"),
        ("traverse {run} --dims 3 --out {new}.png", "no dimension 3"),
        ("traverse {run} --row 179 --out {new}.png", "rows 0 to 178"),
        ("attributes {run} --out {new}.png", "say where to go"),
        ("attributes {run} --to 1 --use {new}.json --out {new}.png", "say where to go"),
        ("attributes {run} --to cat --out {new}.png", "no row is labelled 'cat'"),
        ("attributes {run} --use {new}.json --out {new}.png", "there is no file"),
        ("attributes {run} --to 1 --keep {new}.npz --out {new}.png", "must end in one of: .json"),
        ("features {run} --count 0", "at least 1"),
        ("anomaly {run}", "say which rows are anomalies"),
        ("anomaly {run} --label 7 --against mnist", "not both"),
        ("anomaly {run} --label cat", "no label 'cat'"),
        ("anomaly {run} --against {run}/weights.safetensors", "of no known form"),
        ("anomaly {run} --label 7 --out {new}.png", "must end in one of: .npy"),
        ("decode {run} {new}.npy --out {new}.png", "there is no file"),
        ("recipes vea", "did you mean 'vae'"),
        ("data {run}/weights.safetensors", "of no known form"),
    ],
)
def test_refusals_are_one_sentence_and_code_2(ask: Ask, trained: Path, tmp_path: Path, line: str, words: str) -> None:
    code, out, err = ask(*line.format(run=trained, new=tmp_path / "new").split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("lowerbound: error: ")
    assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train vae --data digits --out x --latnt 3", "--latent"),
        ("sample", "--out"),
        ("sample {run} --out x.png --count many", "--count"),
        ("train vae --data digits --out x --net cnn", "'cnn'"),
        ("train --data digits --out x", "RECIPE"),
        ("train --resume {run} --epochs 3", "--epochs"),
        ("--jsno", "--jsno"),
    ],
)
def test_usage_errors_name_the_option_and_have_code_2(ask: Ask, trained: Path, line: str, words: str) -> None:
    code, _, err = ask(*line.format(run=trained).split())
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_nothing_is_replaced_unasked(ask: Ask, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.npy"
    out.write_bytes(b"precious")
    code, _, err = ask("sample", trained, "--out", out)
    assert (code, out.read_bytes()) == (2, b"precious")
    assert "--force" in err
    assert ask("sample", trained, "--out", out, "--force")[0] == 0
    assert np.load(out).shape == (64, 8, 8)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MissingExtraError("tensorboard", "tensorboard"), 3, "pip install 'lowerbound[tensorboard]'"),
        (DivergedError("it diverged"), 4, "error: it diverged"),
        (Interrupted("saved; go on with: x"), 130, "lowerbound: saved; go on with: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("torch says\nmany things"), 1, "RuntimeError: torch says many things; run again with --debug"),
        (PermissionError(13, "Permission denied", "/root/x"), 1, "/root/x: Permission denied"),
    ],
)
def test_errors_have_their_exit_codes(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)
    found, out, err = ask("doctor")
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert words in err
    found, _, err = ask("doctor", "--debug")
    assert found == code
    assert "Traceback" in err


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "lowerbound", "train", "vae", "--data", "digits", "--out", str(tmp_path / "run")]
    training = subprocess.Popen([*line, "--epochs", "100000"], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("run/metrics.jsonl")):
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130
    assert err.splitlines()[-1].startswith("lowerbound: interrupted")
    assert err.endswith(f"lowerbound train --resume {tmp_path / 'run'}\n")


def test_a_reader_that_leaves_is_no_error(trained: Path) -> None:
    command_line = f"{sys.executable} -m lowerbound recipes vae --json | true; echo ${{PIPESTATUS[0]}}"
    done = elsewhere("bash", "-c", command_line)
    assert (done.stdout.strip(), done.stderr) == (str(command.BROKEN_PIPE), "")


def test_of_several_processes_one_speaks(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert ask("recipes") == (0, "", "")


def test_json_says_nothing_that_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Answer({"x": float("nan")}, "").show(Common(json=True))
    assert capsys.readouterr().out == ""


# --- progress ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, seconds: list[float], of: int) -> str:
    clock = [0.0]
    watch = progress.Watcher(stream, "rows", lambda: clock[-1])
    for done, second in enumerate(seconds, 1):
        clock.append(second)
        watch(done, of)
    return stream.getvalue()


def test_what_is_done_within_two_seconds_needs_no_progress() -> None:
    assert shown(io.StringIO(), [0.5, 1.0, 1.9], of=3) == ""


def test_a_log_gets_a_line_now_and_then_and_the_last() -> None:
    lines = shown(io.StringIO(), [1.0, 3.0, 4.0, 5.0, 14.0, 15.0], of=6).splitlines()
    assert [line.split(",")[0] for line in lines] == ["rows: 2 of 6", "rows: 5 of 6", "rows: 6 of 6"]
    assert "0:06 left" in lines[0]


def test_a_terminal_gets_one_line_that_changes() -> None:
    text = shown(Terminal(), [3.0, 4.0, 5.0], of=3)
    assert text.count("\r") == 2
    assert text.endswith("\n")


def test_the_script_is_the_module() -> None:
    script, module = [str(Path(sys.executable).with_name("lowerbound"))], [sys.executable, "-m", "lowerbound"]
    assert elsewhere(*script, "--help").stdout == elsewhere(*module, "--help").stdout != ""
