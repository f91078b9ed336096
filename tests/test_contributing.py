"""What CONTRIBUTING.md tells contributors to write works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"

USE = """
import lowerbound
from lowerbound.recipes import registry

assert registry.get("ppca").parameters["latent"].doc == "dimensions of z."
model = lowerbound.train("ppca", "digits", epochs=1, latent=5)
assert model.sample(3).shape == (3, 8, 8)
assert model.encode(model.sample(3).round()).shape == (3, 5)
"""


def test_the_recipe_in_the_guide_is_a_whole_one(tmp_path: Path) -> None:
    """In a process of its own, for a registered recipe would fall under the other tests' laws."""
    (recipe,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    script = tmp_path / "ppca.py"
    script.write_text(recipe + USE, encoding="utf-8")
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
