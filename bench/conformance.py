"""scikit-learn's own conformance suite over every estimator: how many of its checks pass, and why any cannot.

python bench/conformance.py
"""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before scipy is imported, or the suite leaves a check out

import sys
import time
import warnings
from collections import Counter
from typing import Any

import torch
from sklearn import __version__
from sklearn.utils.estimator_checks import check_estimator

from _harness import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "sklearn_form"))
from small_estimators import SMALL, expected_failures


def main() -> None:
    torch.set_num_threads(1)
    found = [measured(estimator) for estimator in SMALL]
    total = {
        key: sum(row[key] for row in found) for key in ("passed", "checks", "expected to fail", "processor seconds")
    }
    reasons = {f"`{check}`: {why}." for each in SMALL for check, why in expected_failures(each).items()}
    notes = " ".join(
        [f"The suite of scikit-learn {__version__} on one thread; a check that is left out counts as not passed."]
        + [f"Expected to fail, {reason}" for reason in sorted(reasons)]
    )
    total["processor seconds"] = round(total["processor seconds"], 1)
    rows = [*found, {"estimator": "all", **total}]
    record("conformance", "scikit-learn's conformance suite", "python bench/conformance.py", rows, notes)
    assert total["passed"] + total["expected to fail"] == total["checks"]


def measured(estimator: Any) -> dict[str, Any]:
    """What the suite says of one estimator, and what it takes of a processor."""
    why, began = expected_failures(estimator), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, expected_failed_checks=why, on_fail=None, on_skip=None)
    took = time.process_time() - began
    counts = Counter(result["status"] for result in results)
    for result in results:
        if result["status"] in ("failed", "skipped"):
            print(estimator, result["check_name"], result["status"], result["exception"], file=sys.stderr)
    return {
        "estimator": " ".join(str(estimator).split()),
        "passed": counts["passed"],
        "checks": len(results),
        "expected to fail": counts["xfail"],
        "processor seconds": round(took, 1),
    }


if __name__ == "__main__":
    main()
