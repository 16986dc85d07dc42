"""Accuracy against the radius of a perturbation, from both sides: certified, and under all attacks together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.records import MISCLASSIFIED
from scripts.figures.style import Drawn, axes, colour
from scripts.records.publication import in_order
from scripts.records.settings import differing_settings
from scripts.results import Results
from scripts.tables.cells import votes_shown
from scripts.tables.distances import drawn_at_random
from scripts.tables.sides import CERTIFICATE, ONE_ENSEMBLE, both_kinds

RADII = (0.1, 0.25, 0.5, 1.0)
"""Radii that the CSV has of every model with more than `_AT_MOST` distances."""
_AT_MOST = 60  # distances of a curve that are drawn as steps; of more, so many are joined by lines
_LAST = 1.0  # per cent of the points that stay correct where the radius ends


@dataclass(frozen=True)
class _BothSides:
    """The runs on one ensemble that have the most points in common, and the distances of these points.

    Attributes
    ----------
    runs : list of dict
        Certificates and attacks.
    lower, upper : Series of float64
        By index of the test sample. 0 where it is misclassified, `upper` infinite where no attack succeeded.
    """

    runs: list[dict[str, Any]]
    lower: pd.Series
    upper: pd.Series


def intervals(results: Results) -> Drawn:
    """A panel a certified model: between the two lines is the accuracy under the best attack that there can be."""
    title = "Both sides: accuracy within an L2 radius, CIFAR-10 class 0 against 1"
    models = list(dict.fromkeys(results.attacks["model"])) if len(results.attacks) else []
    found = {model: sides for model in models if (sides := _both_sides(results, model)) is not None}
    found = dict(sorted(found.items(), key=lambda item: -len(item[1].lower)))
    notes = [
        "A panel has the largest set of test samples at which the same votes were both certified and attacked. "
        "A sample counts up to its certified radius on the lower line, and up to the closest adversarial of these "
        "attacks on the upper one; a misclassified one counts on neither. The accuracy under the strongest possible "
        "attack is in the band. "
        "One model is more robust than another at a radius if its lower line is above the other's upper line, at the "
        "same samples. Samples that were chosen as correctly classified, such as Table 2's ten, begin at 100 %.",
        *(f"- {_about(results, model, sides)}" for model, sides in found.items()),
    ]
    if not found:
        return Drawn(title, pd.DataFrame(), None, [*notes, "Filled by: `python run.py +experiment=intervals`"])
    curves = {model: _curve(sides) for model, sides in found.items()}
    columns = min(4, len(found))
    figure, panels = axes(-(-len(found) // columns), columns, 2.7, 2.3, sharex=True, sharey=True)
    all_panels = [panel for row in panels for panel in row]
    end = max(curve["radius"].where(curve["attacked_percent"] >= _LAST, 0.0).max() for curve in curves.values()) or 1.0
    for panel, (model, curve) in zip(all_panels, curves.items(), strict=False):
        radius, lower, upper = (curve[name].to_numpy() for name in ("radius", "certified_percent", "attacked_percent"))
        steps = len(radius) <= _AT_MOST
        style = "steps-post" if steps else "default"
        panel.fill_between(radius, lower, upper, step="post" if steps else None, color=colour(model), alpha=0.25, lw=0)
        panel.plot(radius, upper, drawstyle=style, color=colour(model), lw=1.3, label="under attack")
        panel.plot(radius, lower, drawstyle=style, color=colour(model), lw=1.3, ls=":", label="certified")
        panel.set(
            title=f"{model}, {votes_shown(curve['n_votes'].iloc[0])}, {len(found[model].lower):,} points",
            ylim=(0, 105),
            xlim=(0, 1.02 * end),
        )
        panel.title.set_fontsize(8)
        panel.legend(frameon=False, fontsize=7)
    for row in panels:
        row[0].set_ylabel("accuracy, %")
    for panel in all_panels[len(found) :]:
        panel.set_visible(False)
    figure.supxlabel("L2 radius", fontsize=9)
    data = in_order(
        pd.concat([curve.assign(model=model) for model, curve in curves.items()], ignore_index=True), ["model"]
    )
    runs = tuple(run["folder"] for sides in found.values() for run in sides.runs)
    return Drawn(title, data, figure, notes, runs)


def _both_sides(results: Results, model: str) -> _BothSides | None:
    """Both sides of the ensemble whose certificates and attacks share the most points; None without such runs.

    The points were drawn at random, or are the first of the test set, all of them as a rule. Of equals it is the
    ensemble with the most votes, then the one with the most attacks.
    """
    runs = both_kinds(results.attacks, dataset="cifar10", model=model)
    if not len(runs):
        return None
    runs = pd.concat([drawn_at_random(results, runs), runs[runs["points_rule"] == "first"]])
    found = [_of_ensemble(results, same) for _, same in runs.groupby(ONE_ENSEMBLE, dropna=False)]
    return max(
        (sides for sides in found if sides is not None),
        key=lambda sides: (len(sides.lower), sides.runs[0]["n_votes"], len(sides.runs)),
        default=None,
    )


def _of_ensemble(results: Results, runs: pd.DataFrame) -> _BothSides | None:
    """Both sides at the largest set of points that a certificate and an attack have in common."""
    points = {run: results.points(run) for run in runs["folder"]}
    certified = runs["attack"] == CERTIFICATE
    common = [
        points[lower] & points[upper]
        for lower in runs.loc[certified, "folder"]
        for upper in runs.loc[~certified, "folder"]
    ]
    largest = max(common, key=lambda some: (len(some), sorted(some)), default=frozenset())
    if not largest:
        return None
    kept = runs[[points[run] >= largest for run in runs["folder"]]]
    at = sorted(largest)
    lower, upper = [], []
    for folder, attack in zip(kept["folder"], kept["attack"], strict=True):
        examples = results.source.examples(folder).loc[at]
        wrong = examples["reason"].eq(MISCLASSIFIED)
        if attack == CERTIFICATE:
            lower.append(examples["l2_lower"].mask(wrong, 0.0))
        else:
            upper.append(examples["l2"].fillna(np.inf).mask(wrong, 0.0))
    sides = pd.concat(lower, axis=1).max(axis=1), pd.concat(upper, axis=1).min(axis=1)
    return _BothSides(kept.to_dict("records"), *sides)


def _curve(sides: _BothSides) -> pd.DataFrame:
    """Both accuracies at the radii where one of them changes, or at a choice of these radii and at `RADII`."""
    changes = np.unique([0.0, *sides.lower, *sides.upper])
    changes = changes[np.isfinite(changes)]
    if len(changes) > _AT_MOST:
        chosen = np.quantile(changes, np.linspace(0, 1, _AT_MOST), method="closest_observation")
        changes = np.unique([0.0, *RADII, *chosen])
    percent = {
        name: [100 * float((distance > radius).mean()) for radius in changes]
        for name, distance in (("certified_percent", sides.lower), ("attacked_percent", sides.upper))
    }
    attacks = sum(run["attack"] != CERTIFICATE for run in sides.runs)
    facts = {"n_votes": sides.runs[0]["n_votes"], "points": len(sides.lower), "attacks": attacks}
    return pd.DataFrame({**facts, "radius": changes, **percent})


def _about(results: Results, model: str, sides: _BothSides) -> str:
    """The runs behind a panel in words, with the settings of the attacks that are not those of conf/."""
    named = []
    for run in sides.runs:
        words = differing_settings(results.source.record(run["folder"])["config"]).split(" ")
        settings = " ".join(word.removeprefix("attack.") for word in words if word.startswith("attack."))
        named.append(f"{run['attack']} ({settings})" if settings else run["attack"])
    return f"{model}, {len(sides.lower):,} points: {', '.join(dict.fromkeys(named))}."
