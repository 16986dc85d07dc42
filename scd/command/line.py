"""The options of ``scd``, and how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from scd import __version__
from scd.command.attack import ATTACKS, attack, setting


class _Parser(argparse.ArgumentParser):
    """Reports a bad option by one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    words : sequence of str, optional
        Default: those of this process.

    Returns
    -------
    int
        Exit status: 0, or 2 for bad input; 130 after Ctrl-C.
    """
    options = parser().parse_args(words)
    try:
        options.command(options)
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; with --out the same command continues" if options.out else "interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = _Parser(prog="scd", description="Attack trained classifiers that show their labels only.")
    made.add_argument("--version", action="version", version=f"scd {__version__}")
    commands = made.add_subparsers(required=True, metavar="command")
    one = commands.add_parser(
        "attack",
        help="attack a model, from a file or a service, at samples from a file",
        description="Attack a model, from a file or a service, at samples from a file. Each distance that is found is "
        "an upper bound of the minimum.",
    )
    one.set_defaults(command=attack)
    one.add_argument(
        "--model",
        required=True,
        metavar="FILE",
        help=".skops; .ubj or .json (XGBoost); .txt (LightGBM); .onnx; .keras; .pt2, .pt, .pkl or .joblib (with "
        "--trust-pickle); .npz of SCDClassifier.save, or a folder with its votes; http://… of a service of labels",
    )
    one.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="held-out samples as the model takes them: .csv, .tsv, .parquet, .npy, or .npz with x and y",
    )
    one.add_argument("--target", metavar="COLUMN", help="column of a table that has the classes")
    one.add_argument(
        "--labels",
        metavar="FILE",
        help=".npy with the classes of an array; without classes, those that the model predicts count as true",
    )
    one.add_argument("--attack", choices=ATTACKS, default="hsj", help="default: hsj (HopSkipJump)")
    one.add_argument(
        "--budget", type=_count, default=10000, metavar="N", help="maximum queries per point; default 10000"
    )
    one.add_argument(
        "--points", type=_count, default=10, metavar="N", help="samples to attack, correctly classified; default 10"
    )
    one.add_argument("--seed", type=int, default=0, metavar="N", help="of the points and the attack; default 0")
    one.add_argument("--norm", choices=("l2", "linf"), help="default: l2, or the one that the attack minimises")
    one.add_argument(
        "--out", metavar="FOLDER", help="write examples.csv, summary.csv and more; an attack can be resumed"
    )
    one.add_argument(
        "--clip", metavar="BOUNDS", help="features, data or low,high; default: features of a table, data of an array"
    )
    one.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="parameter of the attack's class"
    )
    one.add_argument(
        "--classes", type=_names, default=(), metavar="A,B,…", help="names of the model's classes, in its order"
    )
    one.add_argument(
        "--threshold", type=float, default=0.5, help="of a network with one output; default 0.5, of logits 0"
    )
    one.add_argument("--channels-last", action="store_true", help="the network takes (height, width, channels)")
    one.add_argument(
        "--trusted", type=_names, default=(), metavar="A,B,…", help="further types of a skops file to load"
    )
    one.add_argument(
        "--rate-limit", type=_rate, metavar="N", help="requests per second to a service; default: no limit"
    )
    one.add_argument("--token-variable", metavar="NAME", help="environment variable with the token for a service")
    one.add_argument("--trust-pickle", action="store_true", help="load files that can run code")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1. Got {text}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0. Got {text}")
    return rate


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))
