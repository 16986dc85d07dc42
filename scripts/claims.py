"""The paper's claims, one a row, each with what our runs say of it: holds, fails, open, not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import yaml

from pipeline.config.resolvers import at_most
from scripts.claim_tests import (
    FAILS,
    HOLDS,
    OPEN,
    Verdict,
    accuracy,
    against_the_best,
    against_the_best_by_least,
    distances,
    greater,
    paired,
    untested,
)
from scripts.claims_text import (
    hundred_votes_lower,
    keeps_most_accuracy,
    keeps_most_accuracy_by_votes,
    keeps_most_accuracy_soft,
)
from scripts.figures.substitute import figure2
from scripts.figures.votes import figure1
from scripts.results import examples
from scripts.tables.cells import Store, largest, where
from scripts.tables.distances import of_table_5
from scripts.tables.transfer import LITERAL, table6

SIGN = ("scd01", "scdce", "scdcebnn")
RIVALS = ("mlp", "bnn", "resnet50", "lenet", "rf")
COMPARABLE = 5.0
"""Accuracies, per cent, that differ by no more are called comparable."""
SIMILAR = 1.5
"""Distances with a ratio of no more are called similar."""


def comparable_accuracy(store: Store) -> Verdict:
    """scd01 against the better of mlp and bnn."""
    ours = accuracy(store, "cifar10", "scd01")
    rivals = {m: a for m in ("mlp", "bnn") if (a := accuracy(store, "cifar10", m)) is not None}
    if ours is None or not rivals:
        return untested("fits of scd01 and of mlp or bnn")
    best = max(rivals, key=lambda model: rivals[model])
    number = f"scd01 {ours:.1f} %, {best} {rivals[best]:.1f} %; comparable: within {COMPARABLE:.0f} points"
    return Verdict(HOLDS if ours >= rivals[best] - COMPARABLE else FAILS, number)


def highest_distortion(store: Store) -> Verdict:
    """HopSkipJump: scd01 against the most robust rival."""
    return against_the_best(store, "scd01", RIVALS, "hsj")


def highest_under_black_boxes(store: Store) -> Verdict:
    """The same where every point's distance is the least of all black-box attacks that were run on the model."""
    return against_the_best_by_least(store, "scd01", RIVALS)


def highest_under_white_box(store: Store) -> Verdict:
    """The same under the white-box attack."""
    return against_the_best(store, "scd01", RIVALS, "whitebox")


def binary_weights_win(store: Store) -> Verdict:
    """scdcebnn against scd01 and scdce."""
    return against_the_best(store, "scdcebnn", ("scd01", "scdce"), "hsj")


def bnn_like_mlp(store: Store) -> Verdict:
    """Ratio of the mean distances of bnn and mlp."""
    return _similar({model: distances(store, model, "hsj") for model in ("bnn", "mlp")})


def quantizers_alike(store: Store) -> Verdict:
    """bnn with each of Larq's quantizers, whether or not conf/ has it as its default."""
    runs = where(store.all_attacks, dataset="cifar10", model="bnn", attack="hsj", norm="l2", start="noise")
    configs = [yaml.safe_load((Path(path) / "config.yaml").read_text()) for path in runs.get("path", ())]
    runs = runs.assign(quantizer=[config["model"]["input_quantizer"] for config in configs])
    kinds = dict(list(runs.groupby("quantizer")))
    if len(kinds) < 2:
        return untested(f"HopSkipJump on two or more quantizers; there is {', '.join(kinds) or 'none'}")
    votes = set.intersection(*(set(of_kind["n_votes"]) for of_kind in kinds.values()))
    if not votes:
        return untested("ensembles of the same number of votes")
    chosen = {name: largest(where(of_kind, n_votes=max(votes))) for name, of_kind in kinds.items()}
    found = pd.concat({name: examples(run["path"])["l2"] for name, run in chosen.items()}, axis=1).dropna()
    return _similar({name: found[name] for name in chosen}, f" of {max(votes):.0f} votes, {len(found)} points")


def _similar(found: dict[str, pd.Series], of: str = "") -> Verdict:
    there = {name: float(values.mean()) for name, values in found.items() if len(values)}
    if len(there) < 2:
        return untested(f"HopSkipJump on two or more of {', '.join(found) or 'the variants'}")
    ratio = max(there.values()) / min(there.values())
    number = ", ".join(f"{name} {value:.2f}" for name, value in there.items())
    return Verdict(HOLDS if ratio <= SIMILAR else FAILS, f"{number}{of}; similar: a ratio of at most {SIMILAR}")


def same_ranking(store: Store) -> Verdict:
    """Table 3's order: scd01, rf, lenet, mlp."""
    order = ("scd01", "rf", "lenet", "mlp")
    iterations = at_most(10, store.caps.get("max_iter"))
    means = {}
    for model in order:
        of_hsj = {"attack": "hsj", "norm": "l2", "start": "given", "points_rule": "first"}
        found = where(store.attacks, dataset="cifar10", model=model, max_iter=iterations, **of_hsj)
        if len(found):
            means[model] = float(largest(found)["l2_mean"])
    if len(means) < len(order):
        return untested(f"Table 3 for {', '.join(m for m in order if m not in means)}")
    number = ", ".join(f"{model} {mean:.2f}" for model, mean in means.items())
    return Verdict(HOLDS if sorted(means, key=lambda m: -means[m]) == list(order) else FAILS, number)


def grows_with_votes(store: Store) -> Verdict:
    """What the votes beyond the first add to the distance: scd01 against mlp, bnn and rf."""
    data = figure1(store).data
    gains = {}
    for model, rows in data.groupby("model") if len(data) else []:
        if len(rows) > 1:
            gains[str(model)] = float(rows["l2_mean"].iloc[-1] - rows["l2_mean"].iloc[0])
    rivals = {model: gain for model, gain in gains.items() if model in RIVALS}
    if "scd01" not in gains or not rivals:
        return untested("Figure 1 for scd01 and a rival")
    number = ", ".join(f"{model} {gain:+.2f}" for model, gain in gains.items())
    return Verdict(
        HOLDS if gains["scd01"] > max(rivals.values()) else FAILS, f"gain from least to most votes: {number}"
    )


def more_hidden_nodes(store: Store) -> Verdict:
    """Table 5: 64 nodes against 20, on the same points."""
    of_hsj = {"attack": "hsj", "norm": "l2", "start": "noise"}
    runs = where(store.all_attacks, dataset="cifar10", model="scd01", as_in_table5=True, **of_hsj)
    pair = [of_table_5(runs, nodes) for nodes in (64, 20)]
    if not all(len(found) for found in pair):
        return untested("Table 5 for 20 and 64 hidden nodes")
    difference = paired(*(examples(largest(found)["path"])["l2"].dropna() for found in pair))
    return greater(difference, "64 − 20 nodes:") if len(difference) > 1 else untested("two common points in Table 5")


def lowest_transfer(store: Store) -> Verdict:
    """Table 6, the paper's count: the intervals of the largest of the sign networks and of the least of the rivals."""
    cells = table6(store)[1]
    found = cells[(cells["row"] == LITERAL) & cells.get("ours", pd.Series(dtype=float)).notna()].set_index("model")
    ours, rivals = found[found.index.isin(SIGN)], found[found.index.isin(RIVALS)]
    if not len(ours) or not len(rivals):
        return untested("attack=transfer for a sign network and a rival")
    most, least = ours.loc[ours["ours"].idxmax()], rivals.loc[rivals["ours"].idxmin()]
    number = ", ".join(f"{model} {p:.3f}" for model, p in found["ours"].items())
    number += "; " + ", ".join(f"{x.name} within {x['low']:.3f} to {x['high']:.3f}" for x in (most, least))
    verdict = HOLDS if most["high"] < least["low"] else FAILS if most["low"] > least["high"] else OPEN
    return Verdict(verdict, number)


def substitute_needs_more(store: Store) -> Verdict:
    """Figure 2 at epsilon 1/8: scd01 keeps more accuracy than mlp and bnn."""
    data = figure2(store).data
    at = data[data["epsilon"] == 0.125].set_index("model")["accuracy"] if len(data) else pd.Series(dtype=float)
    rivals = at[at.index.isin(("mlp", "bnn"))]
    if "scd01" not in at or not len(rivals):
        return untested("attack=substitute for scd01 and mlp or bnn")
    number = ", ".join(f"{model} {100 * value:.1f} %" for model, value in at.items())
    return Verdict(HOLDS if at["scd01"] > rivals.max() else FAILS, f"at epsilon 1/8: {number}")


def noise_is_harmless(store: Store) -> Verdict:
    """Figure 2's dashed lines at epsilon 1/8."""
    data = figure2(store).data
    if not len(data):
        return untested("attack=substitute")
    wide = data.pivot(index="model", columns="epsilon", values="noise_accuracy")
    drop = 100 * (wide[0.0] - wide[0.125])
    number = f"largest loss at 1/8: {drop.max():.1f} points ({drop.idxmax()}) of {len(drop)} models"
    return Verdict(HOLDS if drop.max() <= COMPARABLE else FAILS, number)


def ecg_is_significant(store: Store) -> Verdict:
    """scd01 against rf on PTB, paired; where only the stand-in was run this stays untested."""
    found = {}
    for dataset in ("ptb", "ecg200"):
        pair = [where(store.attacks, dataset=dataset, model=m, attack="hsj", norm="l2") for m in ("scd01", "rf")]
        if all(len(rows) for rows in pair):
            found[dataset] = paired(*(examples(largest(rows)["path"])["l2"].dropna() for rows in pair))
    if "ptb" in found:
        return greater(found["ptb"], "scd01 − rf:")
    if "ecg200" in found:
        other = greater(found["ecg200"], "scd01 − rf:")
        return untested(f"PTB; on ECG200, another set, it {_said[other.verdict]}: {other.number}")
    return untested("Table 8")


_said = {HOLDS: "holds", FAILS: "fails", OPEN: "stays open"}

CLAIMS: list[tuple[str, str, Callable[[Store], Verdict]]] = [
    ("Table 1", "The accuracy of sign networks is comparable to MLP's and BNN's", comparable_accuracy),
    ("Table 2", "Under HopSkipJump sign networks need more distortion than every rival", highest_distortion),
    ("ours", "They still do under the best of all black-box attacks that were run", highest_under_black_boxes),
    ("ours", "They still do when a white-box attack looks for the adversarials", highest_under_white_box),
    ("Table 2", "Of the sign networks that with binary weights (scdcebnn) needs most", binary_weights_win),
    ("Table 2", "BNN's distortion is similar to MLP's", bnn_like_mlp),
    ("Section 3.1", "BNN's distortion stays similar with the ste and swish quantizers", quantizers_alike),
    ("Table 3", "On 100 images with ten iterations the order is scd01, rf, lenet, mlp", same_ranking),
    ("Figure 1", "More votes add more distortion to sign networks than to their rivals", grows_with_votes),
    ("Table 5", "More hidden nodes add distortion", more_hidden_nodes),
    ("Table 6", "Adversarials transfer least between members of sign networks", lowest_transfer),
    ("Figure 2", "A substitute model needs larger steps against scd01 than against MLP and BNN", substitute_needs_more),
    ("Figure 2", "Gaussian noise of the same size barely hurts", noise_is_harmless),
    ("Table 7", "Under TextFooler sign networks keep more accuracy than every rival (MR)", keeps_most_accuracy),
    ("ours", "They still do when the attack sees votes of every model", keeps_most_accuracy_by_votes),
    ("ours", "They still do when it sees a mean probability of every model", keeps_most_accuracy_soft),
    ("Section 3.4", "With 100 votes instead of 8 adversarial accuracy drops (scd01 on MR)", hundred_votes_lower),
    ("Table 8", "On ECG scd01 needs more distortion than random forests, significantly", ecg_is_significant),
]


def claims_table(store: Store) -> pd.DataFrame:
    """A row per claim: ``where`` it stands in the paper, ``claim``, ``verdict``, ``number`` behind it."""
    rows = []
    for place, claim, test in CLAIMS:
        found = test(store)
        rows.append({"where": place, "claim": claim, "verdict": found.verdict, "number": found.number})
    return pd.DataFrame(rows)
