"""What every benchmark shares: facts of the machine, fair timing, and the page of results."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "results.md"
COMMAND = Path(sys.executable).parent / "lowerbound"
PACKAGES = ("lowerbound", "torch", "numpy", "pythae")
INTRODUCTION = """# Results

Written by the scripts in `bench/`, each of which replaces its own section. Log-likelihoods are in nats per datum.
Times on shared machines are noisy: read ratios and medians.
"""


def alternately(work: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run each in turn, A B C A B C …, so that a machine whose speed drifts treats all alike."""
    figures: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            figures[name].append(run())
    return figures


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def call(*words: str) -> dict[str, Any]:
    """One lowerbound command; its JSON."""
    run = subprocess.run([str(COMMAND), *words, "--json"], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def threads() -> int:
    """Threads that a computation may use."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(over, under))


def record(name: str, title: str, command: str, rows: list[dict[str, Any]], notes: str = "") -> None:
    """Keep a benchmark's table and write the page anew."""
    section = {"title": title, "command": command, "rows": rows, "notes": notes, "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(section, indent=1, ensure_ascii=False) + "\n")
    render()
    print(table(rows))


def render() -> None:
    """Write docs/results.md from the tables kept."""
    sections = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text("\n".join([INTRODUCTION, *map(_section, sections)]))


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; the first row names the columns."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([_shown(row.get(head)) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine() -> str:
    """Processor, threads, system, versions and date."""
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores; Python {platform.python_version()}, {versions}; {date.today()}"


def commit() -> str:
    """The short name of the commit measured."""
    run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return run.stdout.strip()


def _section(section: Mapping[str, Any]) -> str:
    notes = f"\n{section['notes']}\n" if section["notes"] else ""
    head = f"## {section['title']}\n\n`{section['command']}`\n\n{table(section['rows'])}"
    return f"{head}{notes}\n{section['machine']}\n"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,}"
        if _is_number(value)
        else str(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return (names[0] if names else platform.processor()) + (" with AMX" if "amx_bf16" in flags else "")
