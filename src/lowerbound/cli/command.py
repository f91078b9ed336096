"""From a command line to an exit code."""

from __future__ import annotations

import difflib
import inspect
import operator
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import make_dataclass
from functools import reduce
from typing import Annotated, NoReturn, get_origin

import tyro

from lowerbound.cli import (
    cluster,
    complete,
    demos,
    describe,
    exchange,
    explore,
    gap,
    generate,
    impute,
    infill,
    judge,
    measure,
    mixture,
    poem,
    quality,
    report,
    rollout,
    sandwich,
    sound,
    table,
    train,
    translate,
)
from lowerbound.cli.verb import Verb
from lowerbound.errors import InputError, Interrupted, LowerboundError

VERBS: dict[str, type[Verb]] = {
    "train": train.Train[train.NoArguments],
    "mixture": mixture.Mixture,
    "table": table.Table,
    "evaluate": measure.Evaluate,
    "log-prob": measure.LogProb,
    "gap": gap.Gap,
    "sandwich": sandwich.Sandwich,
    "sample": generate.Sample,
    "reconstruct": generate.Reconstruct,
    "interpolate": explore.Interpolate,
    "traverse": explore.Traverse,
    "attributes": explore.Attributes,
    "cluster": cluster.Cluster,
    "encode": generate.Encode,
    "decode": generate.Decode,
    "latents": exchange.LatentsOf,
    "export": exchange.Export,
    "import": exchange.Import,
    "features": judge.Features,
    "disentanglement": judge.Disentanglement,
    "quality": quality.Quality,
    "anomaly": judge.Anomaly,
    "impute": impute.Impute,
    "complete": complete.Complete,
    "infill": infill.Infill,
    "translate": translate.Translate,
    "poem": poem.Poem,
    "demos": demos.Demos,
    "rollout": rollout.Rollout,
    "sound": sound.Sound,
    "report": report.Report,
    "recipes": describe.Recipes,
    "data": describe.Data,
    "doctor": describe.Doctor,
}

DESCRIPTION = """Latent-variable models whose numbers are true.

    lowerbound train vae --data mnist --out runs/mnist --epochs 20
    lowerbound evaluate runs/mnist
    lowerbound sample runs/mnist --out samples.png

Each verb has its own help: lowerbound VERB --help. The version: lowerbound --version
"""

BROKEN_PIPE = 141


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command line; return its exit code.

    0 done, 1 unexpected, 2 unusable input or usage, 3 a missing extra, 4 training diverged, 130 interrupted,
    141 the reader of our output left.

    >>> run(["--version"])  # doctest: +ELLIPSIS
    lowerbound ...
    0
    """
    try:
        return obey(args)
    except BrokenPipeError:
        return leave_quietly()
    except (Exception, KeyboardInterrupt) as error:
        return refuse(error, "--debug" in args)


def obey(args: Sequence[str]) -> int:
    """Parse and carry out one command line; return the exit code of help and of usage errors, else 0."""
    code = 0
    try:
        print_version() if args and args[0] in ("--version", "-V") else carry_out(parse(args))
    except SystemExit as stop:  # tyro's, after help or a usage error
        code = int(stop.code or 0)
    sys.stdout.flush()
    return code


def carry_out(verb: Verb) -> None:
    """Do what is asked and say what came of it; of several processes under torchrun the first one speaks."""
    answer = verb.answer()
    if os.environ.get("RANK", "0") == "0":
        answer.show(verb.common)


def print_version() -> None:
    """The installed version of the package."""
    from importlib.metadata import version  # slow to import, and only this needs it

    print(f"lowerbound {version('lowerbound')}")


def parse(args: Sequence[str]) -> Verb:
    """The verb a command line asks for; help and usage errors exit from here (codes 0 and 2)."""
    if not args or args[0].startswith("-"):
        return read(overview(), args or ["--help"], "lowerbound", DESCRIPTION)
    name, rest = args[0], args[1:]
    if name not in VERBS:
        raise InputError(f'there is no verb "{name}"{near(name)}; lowerbound --help lists them')
    return read(train.kind(rest) if name == "train" else VERBS[name], rest, f"lowerbound {name}")


def read(kind: type[Verb], args: Sequence[str], prog: str, description: str | None = None) -> Verb:
    """Fill the fields of a verb from its arguments."""
    if {"-h", "--help"} & set(args):
        args = ["--help"]  # alone, because tyro's help leaves out what was given before it
    return tyro.cli(kind, args=args, prog=prog, description=description, config=(tyro.conf.FlagCreatePairsOff,))


def overview() -> type[Verb]:
    """All verbs, without their arguments, as one type: for the help of the command as a whole."""
    stand_ins = {name: make_dataclass("Any", [], namespace={"__doc__": summary(kind)}) for name, kind in VERBS.items()}
    each = [Annotated[kind, tyro.conf.subcommand(name)] for name, kind in stand_ins.items()]
    return reduce(operator.or_, each)  # type: ignore[return-value]


def summary(kind: type[Verb]) -> str:
    """The first line of a verb's help."""
    return (inspect.getdoc(get_origin(kind) or kind) or "").partition("\n")[0]


def near(name: str) -> str:
    """A suggestion for a mistyped verb, or nothing."""
    close = difflib.get_close_matches(name, VERBS, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def refuse(error: BaseException, debug: bool) -> int:
    """Print one sentence (or, with --debug, the traceback) to stderr; return the exit code."""
    if debug:
        traceback.print_exception(error)
    print(sentence(error), file=sys.stderr)
    return exit_code(error)


def sentence(error: BaseException) -> str:
    """The one line that tells the user what happened."""
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return f"lowerbound: {str(error) or 'interrupted'}"
    if isinstance(error, LowerboundError):
        return f"lowerbound: error: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"lowerbound: error: {error.filename}: {error.strerror}"
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"lowerbound: error: unexpected {what}; run again with --debug to see where"


def exit_code(error: BaseException) -> int:
    """The exit code an error stands for."""
    if isinstance(error, LowerboundError):
        return error.exit_code
    return Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else 1


def leave_quietly() -> int:
    """Whoever read our output closed it: nothing more can be said, not even by the flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
