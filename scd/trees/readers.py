"""Readers of fitted trees: this project's forests, scikit-learn, XGBoost and LightGBM, as one sum of trees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scd.trees.boxes import Nodes, Trees, float32_at_most

_FLOAT64, _FLOAT32 = 2.0**-52, 2.0**-23  # twice the unit roundoff
_SURE = 1e-9  # difference of a fraction from a half that no formula for it rounds away
_SINGLE, _FORESTS = (
    ("DecisionTreeClassifier", "ExtraTreeClassifier"),
    ("RandomForestClassifier", "ExtraTreesClassifier"),
)
_HISTOGRAM, _BOOSTED = "HistGradientBoostingClassifier", ("xgboost", "lightgbm")
_KNOWN = (
    "a decision tree, random forest, extra trees or histogram gradient boosting of scikit-learn, or an XGBoost or "
    "LightGBM classifier"
)

Table = dict[str, NDArray[Any]]
"""One tree: left, right, feature, threshold, value; children are numbers within the tree, negative at a leaf."""


def as_trees(model: Any) -> Trees:
    """Return a fitted classifier of two classes as a sum of trees.

    Parameters
    ----------
    model : Trees, object with a method ``trees()``, or classifier
        Of scikit-learn: DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier, ExtraTreesClassifier,
        HistGradientBoostingClassifier. XGBClassifier or Booster, LGBMClassifier or Booster.

    Raises
    ------
    ValueError
        For another model, more than two classes, or splits other than by a threshold of one feature.
    """
    if isinstance(model, Trees):
        return model
    if callable(getattr(model, "trees", None)):
        return as_trees(model.trees())
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) != 2:
        raise ValueError(f"A tree ensemble must have two classes. Got {len(classes)} instead.")
    package, name = _kind(model)
    if package == "xgboost":
        return _xgboost(model)
    if package == "lightgbm":
        return _lightgbm(model)
    if name == _HISTOGRAM:
        return _histogram(model)
    if name in _SINGLE + _FORESTS:
        return _forest(_fractions(model))
    raise _unknown(name)


def forest_trees(votes: Sequence[Mapping[str, NDArray[Any]]], voting: str) -> Trees:
    """Return trees as :class:`baselines.forest.ForestVotes` stores them, voting "hard" or "mean"."""
    return _forest([{**vote, "value": np.asarray(vote["share"]) - 0.5} for vote in votes], voting == "hard")


def joined_trees(members: Sequence[Any], voting: str) -> Trees:
    """Return an ensemble of fitted classifiers as one sum of trees.

    Raises
    ------
    ValueError
        If it is no sum of trees: the majority of ensembles of several trees, or a mean of boosted trees.
    """
    check_tree_kinds(members, voting)
    if len(members) == 1:
        return as_trees(members[0])
    for member in members:
        as_trees(member)  # refuses more than two classes
    parts = [_fractions(member) for member in members]
    tables = [{**table, "value": table["value"] / len(part)} for part in parts for table in part]
    return _forest(tables, voting == "hard")


def check_tree_kinds(members: Sequence[Any], voting: str) -> None:
    """Raise ValueError for classifiers, fitted or not, whose kinds tell that together they are no sum of trees."""
    for member in members:
        package, name = _kind(member)
        if package not in _BOOSTED and name not in (*_SINGLE, *_FORESTS, _HISTOGRAM):
            raise _unknown(name)
    names = [type(member).__name__ for member in members]
    single = all(name in _SINGLE or getattr(m, "n_estimators", 0) == 1 for name, m in zip(names, members, strict=True))
    if len(members) > 1 and (not set(names) <= {*_SINGLE, *_FORESTS} or (voting == "hard" and not single)):
        raise ValueError(
            f"Several classifiers with voting={voting!r} are a sum of trees only if each is one tree, or if the "
            f"probabilities of forests are averaged. Got {len(members)} of {names[0]}."
        )


def _kind(model: Any) -> tuple[str, str]:
    """Package and name of a classifier's class."""
    return type(model).__module__.split(".")[0], type(model).__name__


def _unknown(name: str) -> ValueError:
    return ValueError(f"The trees must be those of {_KNOWN}. Got {name} instead.")


def _forest(tables: Sequence[Mapping[str, NDArray[Any]]], hard: bool = False) -> Trees:
    """Return trees whose values are fractions of the second class less a half; the model averages them, or is `hard`.

    A mean of labels is their majority, and of one tree a mean is its label: these have no rounding.
    """
    of_leaves = np.concatenate([np.asarray(table["value"])[np.asarray(table["left"]) < 0] for table in tables])
    sizes = np.abs(of_leaves)
    pure = bool((sizes == 0.5).all())
    one = len(tables) == 1 and bool(((sizes == 0) | (sizes > _SURE)).all())
    return _sum(tables, _FLOAT64, hard or pure or one, len(tables) / 2)


def _sum(
    tables: Sequence[Mapping[str, NDArray[Any]]], roundoff: float, hard: bool = False, summed: float = 1.0
) -> Trees:
    """Return trees with values around 0, or with `hard` their signs; 0 counts as label 0.

    `summed` is the size of the sum that the model computes, where it is more than that of the values.
    """
    sizes = [len(table["left"]) for table in tables]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([np.asarray(table[name]) for table in tables])

    shift = np.repeat(root, sizes)
    left, right = (np.where(column(n) >= 0, column(n) + shift, -1).astype(np.int64) for n in ("left", "right"))
    inner = left >= 0
    value = np.where(inner, 0.0, column("value").astype(np.float64))
    if hard:
        value = np.where(inner, 0.0, np.where(value > 0, 1.0, -1.0))
    feature = np.where(inner, column("feature"), 0).astype(np.int64)
    threshold = np.where(inner, float32_at_most(column("threshold")), np.float32(0))
    if not (np.isfinite(value).all() and not np.isnan(threshold).any()):
        raise ValueError("The thresholds and values of trees must be numbers. Got NaN or infinity instead.")
    largest = sum(float(np.abs(part).max()) for part in np.split(value, root[1:]))
    rounding = 0.0 if hard else (len(tables) + 2) * roundoff * max(largest, summed, 1.0)
    return Trees(Nodes(root, left, right, feature, threshold, value), rounding)


def _fractions(model: Any) -> list[Table]:
    """Return the trees of a tree or forest of scikit-learn, with fractions of the second class less a half."""
    trees = [model] if type(model).__name__ in _SINGLE else model.estimators_
    return [_scikit_learn(each.tree_) for each in trees]


def _scikit_learn(tree: Any) -> Table:
    value = tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) - 0.5
    left, right = tree.children_left, tree.children_right
    return {"left": left, "right": right, "feature": tree.feature, "threshold": tree.threshold, "value": value}


def _histogram(model: Any) -> Trees:
    tables = []
    for (predictor,) in model._predictors:  # one tree an iteration for two classes
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise ValueError("The trees must not have categorical splits.")
        inner = nodes["is_leaf"] == 0
        left, right = (np.where(inner, nodes[n].astype(np.int64), -1) for n in ("left", "right"))
        threshold = np.where(inner, nodes["num_threshold"], 0.0)
        names = {"left": left, "right": right, "feature": nodes["feature_idx"], "threshold": threshold}
        tables.append({**names, "value": nodes["value"].copy()})
    tables[0]["value"] = tables[0]["value"] + float(np.ravel(model._baseline_prediction)[0])
    return _sum(tables, _FLOAT64)


def _xgboost(model: Any) -> Trees:
    booster, best = model, None
    if hasattr(model, "get_booster"):
        booster, best = model.get_booster(), getattr(model, "best_iteration", None)
    if best is not None:  # after early stopping the classifier predicts by the iterations up to the best one
        booster = booster[: best + 1]
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if objective != "binary:logistic" or kind != "gbtree":
        raise ValueError(
            "The trees of XGBoost must be those of objective='binary:logistic' and booster='gbtree'. "
            f"Got {objective!r} and {kind!r} instead."
        )
    tables = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        if any(tree.get("split_type", ())):
            raise ValueError("The trees must not have categorical splits.")
        left, right, feature = (
            np.array(tree[name], dtype=np.int64) for name in ("left_children", "right_children", "split_indices")
        )
        condition = np.array(tree["split_conditions"], dtype=np.float32)  # of a leaf: its value
        below = np.nextafter(condition, np.float32(-np.inf))  # XGBoost goes left where the feature is less
        tables.append({"left": left, "right": right, "feature": feature, "threshold": below, "value": condition})
    base = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    tables[0]["value"] = tables[0]["value"] + np.log(base / (1 - base))
    return _sum(tables, _FLOAT32)


def _lightgbm(model: Any) -> Trees:
    booster = getattr(model, "booster_", model)
    dump = booster.dump_model()
    if not str(dump.get("objective", "")).startswith("binary"):
        raise ValueError(f"The objective of LightGBM must be 'binary'. Got {dump.get('objective')!r} instead.")
    return _sum([_lightgbm_tree(info["tree_structure"]) for info in dump["tree_info"]], _FLOAT64)


def _lightgbm_tree(structure: Mapping[str, Any]) -> Table:
    """Return a tree of nested nodes, the root first."""
    columns: dict[str, list[Any]] = {name: [] for name in ("left", "right", "feature", "threshold", "value")}
    waiting: list[tuple[Mapping[str, Any], str, int]] = [(structure, "", -1)]
    while waiting:
        node, side, above = waiting.pop()
        number = len(columns["left"])
        if side:
            columns[side][above] = number
        if "leaf_features" in node:
            raise ValueError("The leaves of the trees must be numbers. Got those of linear_tree=True instead.")
        if node.get("decision_type", "<=") != "<=" or node.get("missing_type") == "Zero":
            raise ValueError("The trees must not have categorical splits, nor zero_as_missing.")
        columns["left"].append(-1)
        columns["right"].append(-1)
        columns["feature"].append(node.get("split_feature", 0))
        columns["threshold"].append(node.get("threshold", 0.0))
        columns["value"].append(node.get("leaf_value", 0.0))
        if "left_child" in node:
            waiting += [(node["left_child"], "left", number), (node["right_child"], "right", number)]
    return {name: np.array(values) for name, values in columns.items()}
