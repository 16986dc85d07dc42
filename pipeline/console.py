"""What a run prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.convergence import NOT_FLAT, Search
from pipeline.stages.evaluate import Evaluation
from pipeline.stages.fit import Fitted


def evaluation_lines(evaluation: Evaluation, fitted: Fitted) -> list[str]:
    """Clean accuracy and fit time."""
    e, stored = evaluation, "" if fitted.trained_now else " (votes from the store)"
    single = f"{100 * e.accuracy_single:.2f} % ± {100 * e.accuracy_single_std:.2f}"
    known = [accuracy for accuracy in e.accuracy_per_class if accuracy is not None]
    if len(e.accuracy_per_class) == 2:
        classes = " / ".join("-" if a is None else f"{100 * a:.2f} %" for a in e.accuracy_per_class)
        of_classes = _row("balanced; class 0 / class 1", f"{100 * e.accuracy_balanced:.2f} %; {classes}")
    else:
        lowest = f"{100 * min(known):.2f} % (class {e.accuracy_per_class.index(min(known))} of {len(known)})"
        of_classes = _row("balanced; lowest of a class", f"{100 * e.accuracy_balanced:.2f} %; {lowest}")
    return [
        "",
        f"  {e.model} on {e.dataset}, {e.n_votes} votes{stored}",
        _row("clean accuracy, ensemble", f"{100 * e.accuracy_ensemble:.2f} %"),
        of_classes,
        _row("area under the ROC curve", "-" if e.auc is None else f"{e.auc:.4f}"),
        _row("clean accuracy, single vote", single),
        _row("fit time, one vote alone", _time(e.one_vote_seconds)),
        _row("fit time, all votes", _time(e.fit_seconds)),
    ]


def summary_lines(
    summary: dict[str, Any],
    reused: bool,
    search: Search = Search(),  # noqa: B008 a tuple
    closer: Sequence[tuple[str, float, float]] = (),
) -> list[str]:
    """The result of an attack, and what says that it says little.

    Parameters
    ----------
    summary : dict
        The row of summary.csv.
    reused : bool
        Whether the attack was in the store.
    search : Search
    closer : sequence of tuple
        See :func:`pipeline.closer_attacks.far_closer`.
    """
    s = summary
    attacked = int(s["points"]) - int(s["already_wrong"])
    certified = "l2_lower_mean" in s
    lines = [
        "",
        f"  {s['attack']} on {int(s['points'])} points{' (from the store)' if reused else ''}",
    ]
    if not certified:
        lines.append(_row("success rate", f"{_percent(s['success_rate'])} ({int(s['succeeded'])} of {attacked})"))
    if s.get("target_class") is not None:
        lines.append(_row("target class", str(s["target_class"])))
    if s["already_wrong"]:
        lines.append(_row("already misclassified", f"{int(s['already_wrong'])}, left out"))
    if "adversarial_accuracy" in s:
        lines += _text_lines(s)
    elif certified:
        lines += _certified_lines(s)
    elif s["norm"] == "linf":
        lines.append(_row("mean minimum Linf", _number(s["linf_mean"])))
        lines.append(_row("mean L2 of the same", _interval(s, "l2_mean")))
    else:
        lines.append(_row("mean minimum L2", _interval(s, "l2_mean")))
        lines.append(_row("median minimum L2", _interval(s, "l2_median")))
        lines.append(_row("mean Linf of the same", _number(s["linf_mean"])))
    if "adversarial_accuracy" not in s and s["succeeded"]:
        lines.append(_row("", "each distance is an upper bound of the minimum"))
        lines += _convergence(search)
        for attack, less, mine in closer:
            lines.append(
                _row("another attack found less", f"{attack}: {_number(less)} where this one has {_number(mine)}")
            )
    lines += [
        _row("queries per point", "-" if s["queries_mean"] is None else f"{s['queries_mean']:,.0f}"),
        _row("attack time", _time(s["attack_seconds"])),
        "",
    ]
    return lines


def _convergence(search: Search) -> list[str]:
    lines = []
    if (gain := search.gain) is not None:
        more = f"the second half of the queries gained {100 * max(0.0, gain):.1f} %"
        flat = gain <= NOT_FLAT
        lines.append(_row("search has converged", f"yes, {more}" if flat else f"no, {more}: more queries find less"))
    if (apart := search.disagreement) is not None:
        more = f"a point's median run ends {100 * apart:.1f} % farther than its best"
        lines.append(_row("runs agree", f"yes, {more}" if apart <= NOT_FLAT else f"no, {more}: more runs find less"))
    return lines


def _certified_lines(s: dict[str, Any]) -> list[str]:
    return [
        _row("mean certified L2", _interval(s, "l2_lower_mean", "no point is classified correctly")),
        _row("median certified L2", _interval(s, "l2_lower_median", "no point is classified correctly")),
        _row("mean certified Linf", _interval(s, "linf_lower_mean", "no point is classified correctly", digits=5)),
    ]


def _text_lines(s: dict[str, Any]) -> list[str]:
    return [
        _row("adversarial accuracy", f"{100 * s['adversarial_accuracy']:.1f} %"),
        _row("mean similarity", _number(s["similarity_mean"])),
        _row("words changed", _percent(s["words_changed_mean"])),
    ]


def table_lines(folder: Path) -> list[str]:
    """The results in the further tables of a transfer or substitute attack; none for the others."""
    lines = []
    if (folder / "transfer.csv").is_file():
        for row in pd.read_csv(folder / "transfer.csv").to_dict("records"):
            name = f"transfer, {100 * row['overshoot']:.0f} % overshoot"
            low, high = _number(row["p_main_low"]), _number(row["p_main_high"])
            value = f"{row['p_main']:.4f}  (95 % interval {low} to {high}; paper's count {row['p_paper_literal']:.4f})"
            lines.append(_row(name, value))
    if (folder / "curve.csv").is_file():
        curve = pd.read_csv(folder / "curve.csv")
        for row in curve[curve["round"] == curve["round"].max()].to_dict("records"):
            name = "accuracy" if "accuracy" in row else "reached"
            value = f"{100 * row[name]:.2f} %  (with noise alone {100 * row[f'noise_{name}']:.2f} %)"
            lines.append(_row(f"{name}, epsilon {row['epsilon']:.4g}", value))
    return lines


def _row(name: str, value: str) -> str:
    return f"    {name:<29}{value}"


def _interval(s: dict[str, Any], name: str, without: str = "no adversarial found", digits: int = 3) -> str:
    if s[name] is None:
        return f"- ({without})"
    low, high = s[f"{name}_low"], s[f"{name}_high"]
    inside = "" if low is None else f"  (95 % interval {_number(low, digits)} to {_number(high, digits)})"
    return _number(s[name], digits) + inside


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min"
