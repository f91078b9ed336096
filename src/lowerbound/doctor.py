"""What this installation can do: versions, devices, optional extras, cached data, compilers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from importlib import metadata
from typing import Any

LIBRARIES = (
    "torch",
    "numpy",
    "safetensors",
    "scikit-learn",
    "pyarrow",
    "pillow",
    "rich",
    "tyro",
    "matplotlib",
)
COMPILERS = ("g++", "clang++", "c++", "cl")
REQUIREMENT = re.compile(r"""^([\w.-]+).*;.*extra\s*==\s*["']([\w-]+)["']""")


def examine() -> dict[str, Any]:
    """What is installed and what is missing, as plain JSON values.

    Each entry of "extras" carries the command that installs it, or None when it is there. Nothing is changed,
    fetched or written.

    >>> sorted(examine())
    ['cache', 'compiler', 'devices', 'extras', 'libraries', 'lowerbound', 'platform', 'processor', 'python']
    """
    return {
        "lowerbound": version("lowerbound"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "processor": processor(),
        "devices": devices(),
        "compiler": compiler(),
        "extras": extras(),
        "cache": cache(),
    }


def version(package: str) -> str | None:
    """The installed version of `package`, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> dict[str, Any]:
    """Cores, the threads torch will use and the instructions that make bfloat16 fast."""
    import torch

    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "amx_bf16": bool(able.get("amx_bf16", False)),
        "avx512_bf16": bool(able.get("avx512_bf16", False)),
    }


def devices() -> list[dict[str, Any]]:
    """The devices torch can train on; the first CUDA device, if any, is what "auto" picks."""
    import torch

    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [{"device": "cpu", "name": platform.processor() or platform.machine(), "memory_gib": None}] + [
        {"device": f"cuda:{i}", "name": card.name, "memory_gib": round(card.total_memory / 2**30, 1)}
        for i, card in enumerate(cards)
    ]


def compiler() -> str | None:
    """The C++ compiler torch.compile would use on the CPU, or None: then training runs uncompiled."""
    named = os.environ.get("CXX")
    candidates = (named, *COMPILERS) if named else COMPILERS
    return next((found for name in candidates if (found := shutil.which(name))), None)


def extras() -> dict[str, dict[str, Any]]:
    """Each optional extra, whether all of it is installed, and the command that would install it."""
    wanted: dict[str, list[str]] = {}
    for requirement in metadata.requires("lowerbound") or []:
        if found := REQUIREMENT.match(requirement):
            wanted.setdefault(found[2], []).append(found[1])
    return {extra: _extra(extra, packages) for extra, packages in wanted.items()}


def _extra(extra: str, packages: list[str]) -> dict[str, Any]:
    missing = [package for package in packages if version(package) is None]
    remedy = f"pip install 'lowerbound[{extra}]'" if missing else None
    return {"installed": not missing, "missing": missing, "install": remedy}


def cache() -> dict[str, Any]:
    """The folder of fetched data sets and which of them are in it."""
    from lowerbound.data import store
    from lowerbound.data.sources import SOURCES

    return {"folder": str(store.cache()), "sets": {name: source.here for name, source in SOURCES.items()}}


def describe(found: dict[str, Any]) -> str:
    """The findings of `examine` as lines for a terminal."""
    return "\n".join(
        f"{title:<12} {line}" if i == 0 else f"{'':<12} {line}"
        for title, lines in _sections(found).items()
        for i, line in enumerate(lines)
    )


def _sections(found: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "lowerbound": [f"{found['lowerbound']}  (Python {found['python']}, {sys.executable})"],
        "platform": [found["platform"]],
        "libraries": [f"{name} {number or 'MISSING'}" for name, number in found["libraries"].items()],
        "processor": [_processor_line(found["processor"])],
        "devices": [_device_line(device) for device in found["devices"]],
        "compiler": [found["compiler"] or "none found: torch.compile is off on the CPU (install g++ to use it)"],
        "extras": [_extra_line(name, extra) for name, extra in found["extras"].items()],
        "cache": [found["cache"]["folder"], *(_cached_line(s) for s in found["cache"]["sets"].items())],
    }


def _processor_line(found: dict[str, Any]) -> str:
    fast = "AMX" if found["amx_bf16"] else "AVX-512" if found["avx512_bf16"] else "not accelerated"
    return f"{found['cores']} cores, {found['threads']} threads, {found['vectors']}, bfloat16: {fast}"


def _device_line(device: dict[str, Any]) -> str:
    memory = f", {device['memory_gib']} GiB" if device["memory_gib"] else ""
    return f"{device['device']}: {device['name']}{memory}"


def _extra_line(name: str, extra: dict[str, Any]) -> str:
    return f"{name}: installed" if extra["installed"] else f"{name}: missing; {extra['install']}"


def _cached_line(entry: tuple[str, bool]) -> str:
    name, there = entry
    return f"{name}: {'here' if there else 'fetched on first use'}"
