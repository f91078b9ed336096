"""How long the command takes to say what it can do.

python bench/startup.py
"""

from __future__ import annotations

import statistics
import subprocess

from _harness import COMMAND, record, seconds

CALLS = ("--help", "--version", "evaluate --help")
ROUNDS = 11


def main() -> None:
    rows = []
    for words in CALLS:
        call = lambda words=words: subprocess.run([COMMAND, *words.split()], capture_output=True, check=True)  # noqa: E731
        call()
        times = [seconds(call) for _ in range(ROUNDS)]
        rows.append(
            {
                "command": f"lowerbound {words}",
                "seconds (median)": round(statistics.median(times), 3),
                "worst": round(max(times), 3),
            }
        )
    record("startup", "Time to help", "python bench/startup.py", rows)


if __name__ == "__main__":
    main()
