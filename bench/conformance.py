"""scikit-learn's own conformance suite over every estimator: how many of its checks pass.

python bench/conformance.py
"""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before scipy is imported, or the suite leaves a check out

import sys
import time
import warnings
from typing import Any

import torch
from sklearn import __version__
from sklearn.utils.estimator_checks import check_estimator

from _harness import ROOT, record

sys.path.insert(0, str(ROOT / "tests" / "sklearn_form"))
from small_estimators import SMALL


def main() -> None:
    torch.set_num_threads(1)
    found = [measured(estimator) for estimator in SMALL]
    total = {key: sum(row[key] for row in found) for key in ("passed", "checks", "processor seconds")}
    notes = (
        f"The suite of scikit-learn {__version__} on one thread; none of its checks is left out or expected to fail."
    )
    total["processor seconds"] = round(total["processor seconds"], 1)
    rows = [*found, {"estimator": "all", **total}]
    record("conformance", "scikit-learn's conformance suite", "python bench/conformance.py", rows, notes)
    assert total["passed"] == total["checks"]


def measured(estimator: Any) -> dict[str, Any]:
    """What the suite says of one estimator, and what it takes of a processor."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    took = time.process_time() - began
    for result in results:
        if result["status"] != "passed":
            print(estimator, result["check_name"], result["status"], result["exception"], file=sys.stderr)
    return {
        "estimator": " ".join(str(estimator).split()),
        "passed": sum(result["status"] == "passed" for result in results),
        "checks": len(results),
        "processor seconds": round(took, 1),
    }


if __name__ == "__main__":
    main()
