"""The paper's claims, one a row, each with the verdict of our runs: holds, fails, open, not tested.

A claim that compares distances is judged twice: by what attacks found, and by the intervals between what is certified
and what attacks found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.resolvers import minimum
from scd.statistics import bootstrap
from scripts.figures.substitute import figure2
from scripts.figures.votes import figure1, of_one_protocol
from scripts.results import Results
from scripts.tables.cells import largest, where
from scripts.tables.distances import of_table_5, protocol, runs_on_the_same_points
from scripts.tables.sides import Compared, Sides, Term, at_few_points, both_kinds, compare, judge, runs_on, sides_of
from scripts.tables.text import MAIN, find_run
from scripts.tables.text import SIGN as TEXT_SIGN
from scripts.tables.transfer import LITERAL, table6

SIGN = ("scd01", "scdce", "scdcebnn")
BASELINES = ("mlp", "bnn", "resnet50", "lenet", "rf")
COMPARABLE = 5.0
"""Accuracies, per cent, that differ by no more are called comparable."""
SIMILAR = 1.5
"""Distances with a ratio of no more are called similar."""
TEXTS = "mr"
"""The set of Table 7 whose documents are all those of the paper."""
TEXT_BASELINES = ("wordcnn", "mlp", "bnn", "rf")

ORDER = ("scd01", "rf", "lenet", "mlp")
"""Table 3's, the largest distance first."""

HOLDS, FAILS, OPEN, UNTESTED = "holds", "fails", "open", "not tested"
NO_DISTANCES = "–"


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim, and the number behind it."""

    verdict: str
    """"holds", "fails", "open" (the interval does not decide) or "not tested"."""
    number: str


def untested(what: str) -> Verdict:
    """Nothing was run that could decide; `what` names what is lacking."""
    return Verdict(UNTESTED, what)


def greater(difference: np.ndarray, words: str) -> Verdict:
    """Whether the mean of `difference`, one value a point, is above zero: by its 95 % bootstrap interval."""
    mean, low, high = bootstrap(difference, "mean")
    verdict = HOLDS if low > 0 else FAILS if high < 0 else OPEN
    return Verdict(verdict, f"{words} {mean:+.2f} ({low:+.2f} to {high:+.2f}; {len(difference)} points)")


def distances(results: Results, model: str, attack: str) -> pd.Series:
    """Minimum L2 of each attacked point under Table 2's protocol, by index; empty where it was not run."""
    found = protocol(results, model, attack)
    if not len(found):
        return pd.Series(dtype=np.float64)
    return results.distances(largest(found)).dropna()


def paired(first: pd.Series, second: pd.Series) -> np.ndarray:
    """First minus second at the points that both have."""
    both = pd.concat([first, second], axis=1, join="inner").to_numpy(dtype=np.float64)
    return both[:, 0] - both[:, 1]


def against_the_best(results: Results, model: str, baselines: tuple[str, ...], attack: str) -> Verdict:
    """Whether `model` has greater distances than the most robust of `baselines`, at the points they have in common."""
    found = {each: distances(results, each, attack) for each in (model, *baselines)}
    return _against_the_best(found, model, f"attack={attack}")


def against_the_best_by_minimum(results: Results, model: str, baselines: tuple[str, ...]) -> Verdict:
    """The same, each point's distance being the minimum that any of the black-box attacks on its model found."""
    runs = {each: runs_on_the_same_points(results, each, also_white=False) for each in (model, *baselines)}
    found = {
        each: pd.concat([results.distances(run) for run in of_it], axis=1).min(axis=1).dropna()
        for each, of_it in runs.items()
        if of_it
    }
    numbers = ", ".join(f"{each} {len(runs[each])}" for each in found)
    verdict = _against_the_best(found, model, "black-box attacks")
    return verdict if verdict.verdict == UNTESTED else Verdict(verdict.verdict, f"{verdict.number}; attacks: {numbers}")


def _against_the_best(found: dict[str, pd.Series], model: str, under: str) -> Verdict:
    ours = found.pop(model, pd.Series(dtype=np.float64))
    theirs = {baseline: values for baseline, values in found.items() if len(paired(ours, values)) >= 2}
    if not theirs:
        return untested(f"{model} and a baseline under {under} on the same points")
    best = max(theirs, key=lambda baseline: theirs[baseline].mean())
    return greater(paired(ours, theirs[best]), f"{model} − {best}, the best of {len(theirs)} baselines:")


def accuracy(results: Results, dataset: str, model: str) -> float | None:
    """Test accuracy of the largest ensemble, per cent."""
    found = where(results.evaluations, dataset=dataset, model=model, voting="hard")
    return None if not len(found) else 100 * float(found.loc[found["n_votes"].idxmax(), "accuracy_ensemble"])


def comparable_accuracy(results: Results) -> Verdict:
    """scd01 against the better of mlp and bnn."""
    ours = accuracy(results, "cifar10", "scd01")
    baselines = {m: a for m in ("mlp", "bnn") if (a := accuracy(results, "cifar10", m)) is not None}
    if ours is None or not baselines:
        return untested("fits of scd01 and of mlp or bnn")
    best = max(baselines, key=lambda model: baselines[model])
    number = f"scd01 {ours:.1f} %, {best} {baselines[best]:.1f} %; comparable: within {COMPARABLE:.0f} points"
    return Verdict(HOLDS if ours >= baselines[best] - COMPARABLE else FAILS, number)


def highest_distortion(results: Results) -> Verdict:
    """HopSkipJump: scd01 against the most robust baseline."""
    return against_the_best(results, "scd01", BASELINES, "hsj")


def highest_under_black_boxes(results: Results) -> Verdict:
    """The same, every point's distance being the minimum of all black-box attacks that were run on the model."""
    return against_the_best_by_minimum(results, "scd01", BASELINES)


def highest_under_white_box(results: Results) -> Verdict:
    """The same under the white-box attack."""
    return against_the_best(results, "scd01", BASELINES, "whitebox")


def binary_weights_win(results: Results) -> Verdict:
    """scdcebnn against scd01 and scdce."""
    return against_the_best(results, "scdcebnn", ("scd01", "scdce"), "hsj")


def bnn_like_mlp(results: Results) -> Verdict:
    """Ratio of the mean distances of bnn and mlp."""
    return _similar({model: distances(results, model, "hsj") for model in ("bnn", "mlp")})


def quantizers_alike(results: Results) -> Verdict:
    """bnn with each of Larq's quantizers, whether or not conf/ has it as its default."""
    runs = where(results.all_attacks, dataset="cifar10", model="bnn", attack="hsj", norm="l2", start="noise")
    kinds = dict(list(runs.groupby("input_quantizer"))) if len(runs) else {}
    if len(kinds) < 2:
        return untested(f"HopSkipJump on two or more quantizers; there is {', '.join(kinds) or 'none'}")
    votes = set.intersection(*(set(of_kind["n_votes"]) for of_kind in kinds.values()))
    if not votes:
        return untested("ensembles of the same number of votes")
    chosen = {name: largest(where(of_kind, n_votes=max(votes))) for name, of_kind in kinds.items()}
    found = pd.concat({name: results.distances(run) for name, run in chosen.items()}, axis=1).dropna()
    return _similar({name: found[name] for name in chosen}, f" of {max(votes):.0f} votes, {len(found)} points")


def _similar(found: dict[str, pd.Series], of: str = "") -> Verdict:
    there = {name: bootstrap(values.to_numpy()) for name, values in found.items() if len(values)}
    if len(there) < 2:
        return untested(f"HopSkipJump on two or more of {', '.join(found) or 'the variants'}")
    means = [mean for mean, _, _ in there.values()]
    ratio = max(means) / min(means)
    number = _with_intervals(there)
    return Verdict(HOLDS if ratio <= SIMILAR else FAILS, f"{number}{of}; similar: a ratio of at most {SIMILAR}")


def same_ranking(results: Results) -> Verdict:
    """Table 3's order: scd01, rf, lenet, mlp."""
    iterations = minimum(10, results.caps.get("max_iter"))
    means: dict[str, tuple[float, float, float]] = {}
    for model in ORDER:
        of_hsj = {"attack": "hsj", "norm": "l2", "start": "given", "points_rule": "first"}
        found = where(results.attacks, dataset="cifar10", model=model, max_iter=iterations, **of_hsj)
        if len(found):
            mean, low, high = largest(found)[["l2_mean", "l2_mean_low", "l2_mean_high"]]
            means[model] = float(mean), float(low), float(high)
    if len(means) < len(ORDER):
        return untested(f"Table 3 for {', '.join(m for m in ORDER if m not in means)}")
    in_order = sorted(means, key=lambda m: -means[m][0]) == list(ORDER)
    return Verdict(HOLDS if in_order else FAILS, _with_intervals(means))


def _with_intervals(means: dict[str, tuple[float, float, float]]) -> str:
    """Means of distances with their 95 % bootstrap intervals over points; one point has none."""
    shown = {name: f" ({low:.2f} to {high:.2f})" if pd.notna(low) else "" for name, (_, low, high) in means.items()}
    return ", ".join(f"{name} {mean:.2f}{shown[name]}" for name, (mean, _, _) in means.items())


def grows_with_votes(results: Results) -> Verdict:
    """What the votes beyond the first add to the distance: scd01 against mlp, bnn and rf."""
    data = figure1(results).data
    gains = {}
    for model, rows in data[data["attack"] == "hsj"].groupby("model") if len(data) else []:
        if len(rows) > 1:
            gains[str(model)] = float(rows["l2_mean"].iloc[-1] - rows["l2_mean"].iloc[0])
    baselines = {model: gain for model, gain in gains.items() if model in BASELINES}
    if "scd01" not in gains or not baselines:
        return untested("Figure 1 for scd01 and a baseline")
    number = ", ".join(f"{model} {gain:+.2f}" for model, gain in gains.items())
    return Verdict(
        HOLDS if gains["scd01"] > max(baselines.values()) else FAILS,
        f"gain from the fewest to the most votes: {number}",
    )


def more_hidden_nodes(results: Results) -> Verdict:
    """Table 5: 64 nodes against 20, on the same points."""
    of_hsj = {"attack": "hsj", "norm": "l2", "start": "noise"}
    runs = where(results.all_attacks, dataset="cifar10", model="scd01", as_in_table5=True, **of_hsj)
    pair = [of_table_5(runs, nodes) for nodes in (64, 20)]
    if not all(len(found) for found in pair):
        return untested("Table 5 for 20 and 64 hidden nodes")
    difference = paired(*(results.distances(largest(found)).dropna() for found in pair))
    return greater(difference, "64 − 20 nodes:") if len(difference) > 1 else untested("two common points in Table 5")


def lowest_transfer(results: Results) -> Verdict:
    """Table 6, the paper's count: the intervals of the largest sign network and of the smallest baseline."""
    cells = table6(results)[1]
    found = cells[(cells["row"] == LITERAL) & cells.get("ours", pd.Series(dtype=float)).notna()].set_index("model")
    ours, baselines = found[found.index.isin(SIGN)], found[found.index.isin(BASELINES)]
    if not len(ours) or not len(baselines):
        return untested("attack=transfer for a sign network and a baseline")
    ours_max, base_min = ours.loc[ours["ours"].idxmax()], baselines.loc[baselines["ours"].idxmin()]
    number = ", ".join(f"{model} {p:.3f}" for model, p in found["ours"].items())
    number += "; " + ", ".join(f"{x.name} within {x['low']:.3f} to {x['high']:.3f}" for x in (ours_max, base_min))
    verdict = HOLDS if ours_max["high"] < base_min["low"] else FAILS if ours_max["low"] > base_min["high"] else OPEN
    return Verdict(verdict, number)


def substitute_needs_more(results: Results) -> Verdict:
    """Figure 2 at epsilon 1/8: scd01 keeps more accuracy than mlp and bnn."""
    data = figure2(results).data
    at = data[data["epsilon"] == 0.125].set_index("model")["accuracy"] if len(data) else pd.Series(dtype=float)
    baselines = at[at.index.isin(("mlp", "bnn"))]
    if "scd01" not in at or not len(baselines):
        return untested("attack=substitute for scd01 and mlp or bnn")
    number = ", ".join(f"{model} {100 * value:.1f} %" for model, value in at.items())
    return Verdict(HOLDS if at["scd01"] > baselines.max() else FAILS, f"at epsilon 1/8: {number}")


def noise_is_harmless(results: Results) -> Verdict:
    """Figure 2's dashed lines at epsilon 1/8."""
    data = figure2(results).data
    if not len(data):
        return untested("attack=substitute")
    wide = data.pivot(index="model", columns="epsilon", values="noise_accuracy")
    drop = 100 * (wide[0.0] - wide[0.125])
    number = f"largest loss at 1/8: {drop.max():.1f} points ({drop.idxmax()}) of {len(drop)} models"
    return Verdict(HOLDS if drop.max() <= COMPARABLE else FAILS, number)


def ecg_is_significant(results: Results) -> Verdict:
    """scd01 against rf on PTB, paired; where only ECG200 was run this stays untested."""
    found = {}
    for dataset in ("ptb", "ecg200"):
        pair = [where(results.attacks, dataset=dataset, model=m, attack="hsj", norm="l2") for m in ("scd01", "rf")]
        if all(len(rows) for rows in pair):
            found[dataset] = paired(*(results.distances(largest(rows)).dropna() for rows in pair))
    if "ptb" in found:
        return greater(found["ptb"], "scd01 − rf:")
    if "ecg200" in found:
        other = greater(found["ecg200"], "scd01 − rf:")
        return untested(f"PTB; on ECG200, another set, it {other.verdict}: {other.number}")
    return untested("Table 8")


def keeps_most_accuracy(results: Results) -> Verdict:
    """As in the paper: the score of sign networks is a fraction of votes, that of the others a mean probability."""
    return _against_baselines(results, "votes", "soft")


def keeps_most_accuracy_by_votes(results: Results) -> Verdict:
    """The score of all is a fraction of votes."""
    return _against_baselines(results, "votes", "votes")


def keeps_most_accuracy_soft(results: Results) -> Verdict:
    """The score of all is a mean probability."""
    return _against_baselines(results, "soft", "soft")


def hundred_votes_lower(results: Results) -> Verdict:
    """Adversarial accuracy of scd01 with 8 votes against that with 100."""
    few, many = _survived(results, "scd01"), _survived(results, "scd01", n_votes=100)
    if few is None or many is None:
        return untested(f"dataset={TEXTS} model=scd01 attack=textfooler with 8 and with 100 votes")
    return greater(100 * paired(few, many), "per cent of documents, 8 − 100 votes:")


def _against_baselines(results: Results, score: str, baselines_score: str) -> Verdict:
    """The most robust sign network against the most robust baseline, document by document."""
    ours, theirs = _best(results, TEXT_SIGN, score), _best(results, TEXT_BASELINES, baselines_score)
    if ours is None or theirs is None:
        lacking = f"a sign network, attack.score={score}, and a baseline, attack.score={baselines_score}"
        return untested(f"dataset={TEXTS} attack=textfooler for {lacking}")
    words = f"per cent of documents, {ours[0]} − {theirs[0]}:"
    return greater(100 * paired(ours[1], theirs[1]), words)


def _best(results: Results, models: tuple[str, ...], score: str) -> tuple[str, pd.Series] | None:
    found = {model: s for model in models if (s := _survived(results, model, score=score)) is not None}
    best = max(found, key=lambda model: found[model].mean(), default=None)
    return None if best is None else (best, found[best])


def _survived(results: Results, model: str, **settings: object) -> pd.Series | None:
    """1 for each document, by index, that is classified correctly and survives, else 0; None if never run."""
    run = find_run(results, TEXTS, model, **{**MAIN, **settings})
    if run is None:
        return None
    table = results.source.examples(run["folder"])
    survived = (table["success"] == 0) & (table["reason"] != "already misclassified")
    return survived.astype(np.float64)


def _sides(results: Results, model: str, n_votes: float | None = None) -> Sides | None:
    """Both sides of a model on CIFAR-10, also of its first votes."""
    runs = runs_on(results, "cifar10", model)
    if n_votes is None or not len(runs):
        return sides_of(results, model, runs)
    return sides_of(results, f"{model} ({n_votes:.0f} votes)", runs[runs["n_votes"] == n_votes])


def _differences(first: Sides | None, others: list[Sides | None], weight: float = 1.0) -> list[Compared | None]:
    """`weight` times the first minus each of the others; those that were run at all."""
    if first is None:
        return []
    return [compare(Term(weight, first), Term(-1.0, other)) for other in others if other is not None]


def sides_of_baselines(results: Results) -> list[Compared | None]:
    """scd01 minus each baseline."""
    return _differences(_sides(results, "scd01"), [_sides(results, model) for model in BASELINES])


def sides_of_sign_networks(results: Results) -> list[Compared | None]:
    """scdcebnn minus the other two."""
    return _differences(_sides(results, "scdcebnn"), [_sides(results, model) for model in ("scd01", "scdce")])


def sides_of_bnn_and_mlp(results: Results) -> list[Compared | None]:
    """Either of them, times the ratio that is called similar, minus the other."""
    return _similar_sides([_sides(results, model) for model in ("bnn", "mlp")])


def sides_of_quantizers(results: Results) -> list[Compared | None]:
    """The same for bnn with each of Larq's quantizers."""
    runs = at_few_points(results, both_kinds(results.all_attacks, dataset="cifar10", model="bnn"))
    return _similar_sides([sides_of(results, str(name), of_it) for name, of_it in _by(runs, "input_quantizer")])


def _similar_sides(found: list[Sides | None]) -> list[Compared | None]:
    return [each for first in found for each in _differences(first, [x for x in found if x is not first], SIMILAR)]


def sides_of_the_order(results: Results) -> list[Compared | None]:
    """Each model of Table 3's order minus each that comes later."""
    found = [_sides(results, model) for model in ORDER]
    return [each for place, first in enumerate(found) for each in _differences(first, found[place + 1 :])]


def sides_of_votes(results: Results) -> list[Compared | None]:
    """What the votes beyond the fewest add to scd01, minus what they add to each baseline."""
    gains: dict[str, tuple[Term, Term]] = {}
    for model in ("scd01", *BASELINES):
        votes = of_one_protocol(results, model, "hsj").get("n_votes", pd.Series(dtype=float))
        ends = [_sides(results, model, n_votes) for n_votes in (votes.max(), votes.min())] if len(votes) > 1 else []
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None:
            gains[model] = Term(1.0, ends[0]), Term(-1.0, ends[1])
    ours = gains.pop("scd01", None)
    if ours is None:
        return []
    return [compare(*ours, *(Term(-term.weight, term.sides) for term in gain)) for gain in gains.values()]


def sides_of_hidden_nodes(results: Results) -> list[Compared | None]:
    """scd01 with 64 hidden nodes minus scd01 with 20."""
    runs = at_few_points(results, both_kinds(results.all_attacks, dataset="cifar10", model="scd01", as_in_table5=True))
    found = {nodes: sides_of(results, f"{nodes:.0f} nodes", of_it) for nodes, of_it in _by(runs, "hidden_nodes")}
    return _differences(found.get(64), [found.get(20)])


def sides_on_ecg(results: Results) -> list[Compared | None]:
    """scd01 minus rf on PTB."""
    ours, theirs = (sides_of(results, model, runs_on(results, "ptb", model)) for model in ("scd01", "rf"))
    return _differences(ours, [theirs])


def _by(runs: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    return list(runs.groupby(column)) if len(runs) else []


def only_attacks(results: Results) -> list[Compared | None]:
    """Nothing: no certificate bounds what the claim is about."""
    return []


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, or one of this project that its runs test."""

    where: str
    """The table, figure or section, or "ours"."""
    words: str
    test: Callable[[Results], Verdict]
    intervals: Callable[[Results], list[Compared | None]] | None
    """The sums of distances that it says are positive; None for a claim that compares no distances."""


CLAIMS = [
    Claim("Table 1", "The accuracy of sign networks is comparable to MLP's and BNN's", comparable_accuracy, None),
    Claim(
        "Table 2",
        "Under HopSkipJump, sign networks need more distortion than every baseline",
        highest_distortion,
        sides_of_baselines,
    ),
    Claim("ours", "Same, against the strongest black-box attack", highest_under_black_boxes, sides_of_baselines),
    Claim("ours", "Same, against a white-box attack", highest_under_white_box, sides_of_baselines),
    Claim(
        "Table 2",
        "Among sign networks, binary weights (scdcebnn) need the most distortion",
        binary_weights_win,
        sides_of_sign_networks,
    ),
    Claim("Table 2", "BNN's distortion is similar to MLP's", bnn_like_mlp, sides_of_bnn_and_mlp),
    Claim(
        "Section 3.1",
        "BNN's distortion stays similar with the ste and swish quantizers",
        quantizers_alike,
        sides_of_quantizers,
    ),
    Claim(
        "Table 3",
        "On 100 images with ten iterations the order is scd01, rf, lenet, mlp",
        same_ranking,
        sides_of_the_order,
    ),
    Claim(
        "Figure 1",
        "More votes add more distortion to sign networks than to the baselines",
        grows_with_votes,
        sides_of_votes,
    ),
    Claim("Table 5", "More hidden nodes add distortion", more_hidden_nodes, sides_of_hidden_nodes),
    Claim("Table 6", "Adversarials transfer least between members of sign networks", lowest_transfer, only_attacks),
    Claim(
        "Figure 2",
        "A substitute model needs larger steps against scd01 than against MLP and BNN",
        substitute_needs_more,
        only_attacks,
    ),
    Claim("Figure 2", "Gaussian noise of the same size barely hurts", noise_is_harmless, None),
    Claim(
        "Table 7",
        "Under TextFooler sign networks keep more accuracy than every baseline (MR)",
        keeps_most_accuracy,
        only_attacks,
    ),
    Claim(
        "ours", "Same, with a fraction of votes as the score of every model", keeps_most_accuracy_by_votes, only_attacks
    ),
    Claim("ours", "Same, with a mean probability as the score of every model", keeps_most_accuracy_soft, only_attacks),
    Claim(
        "Section 3.4",
        "With 100 votes instead of 8 adversarial accuracy drops (scd01 on MR)",
        hundred_votes_lower,
        only_attacks,
    ),
    Claim(
        "Table 8",
        "On ECG scd01 needs more distortion than random forests, significantly",
        ecg_is_significant,
        sides_on_ecg,
    ),
]


def claims_table(results: Results) -> pd.DataFrame:
    """A row per claim: ``where`` in the paper it is, ``claim``, ``verdict``, ``number`` behind it, and ``intervals``.

    ``intervals`` is the verdict by both sides of the distances; "–" for a claim that compares no distances.
    """
    rows = []
    for claim in CLAIMS:
        found = claim.test(results)
        row = {"where": claim.where, "claim": claim.words, "verdict": found.verdict, "number": found.number}
        rows.append({**row, "intervals": _by_intervals(results, claim, found.verdict)})
    return pd.DataFrame(rows)


def _by_intervals(results: Results, claim: Claim, verdict: str) -> str:
    if claim.intervals is None:
        return NO_DISTANCES
    return UNTESTED if verdict == UNTESTED else judge(claim.intervals(results))


def intervals_table(results: Results) -> pd.DataFrame:
    """A row per sum of distances that a claim calls positive and that a certificate bounds from below or above.

    Returns
    -------
    DataFrame
        Columns ``difference`` (in words), ``each`` (certified and closest mean distance of each ensemble, in words),
        ``at_least`` and ``at_most``, each with ``_low`` and ``_high``, ``points``, ``verdict``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for claim in CLAIMS:
        for found in claim.intervals(results) if claim.intervals is not None else []:
            if found is not None and found.words not in rows:
                rows[found.words] = _row(found)
    return pd.DataFrame(list(rows.values()))


def _row(found: Compared) -> dict[str, Any]:
    names = [f"{side}{end}" for side in ("at_least", "at_most") for end in ("", "_low", "_high")]
    bounds = dict(zip(names, (*found.at_least, *found.at_most), strict=True))
    each = "; ".join(f"{name} {_shown(low)} to {_shown(high)}" for name, low, high in found.each)
    return {"difference": found.words, "each": each, **bounds, "points": found.points, "verdict": found.verdict}


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
