"""Small random forests, and their exact distances by a walk through every cell."""

from itertools import product

import numpy as np

from baselines.forest import ForestVotes


def random_tree(rng, features, depth):
    """A tree whose thresholds are multiples of 1/8, so that trees and inputs share them."""
    nodes = {name: [] for name in ("left", "right", "feature", "threshold", "share")}

    def grow(depth):
        number = len(nodes["left"])
        for name, value in (("left", -1), ("right", -1), ("feature", -2), ("threshold", -2.0)):
            nodes[name].append(value)
        nodes["share"].append(rng.integers(0, 5) / 4)
        if depth and rng.random() < 0.9:
            nodes["feature"][number] = rng.integers(features)
            nodes["threshold"][number] = rng.integers(-1, 9) / 8
            nodes["left"][number] = grow(depth - 1)
            nodes["right"][number] = grow(depth - 1)
        return number

    grow(depth)
    kinds = {"left": np.int32, "right": np.int32, "feature": np.int32, "threshold": np.float64, "share": np.float64}
    return {name: np.array(values, dtype=kinds[name]) for name, values in nodes.items()}


def random_forest(seed, trees=3, features=2, depth=3, voting="hard"):
    rng = np.random.default_rng(seed)
    votes = [random_tree(rng, features, depth) for _ in range(trees)]
    return ForestVotes(n_votes=trees, voting=voting).use_votes(votes, (0, 1), features)


def random_points(seed, features, n=6):
    """Points of the unit box, every other one on thresholds."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, features)).astype(np.float32)
    points[::2] = np.round(points[::2] * 8) / 8
    return points


def exact_by_cells(model, x, label, low=0.0, high=1.0):
    """The L2 and L-infinity distances of the closest float32 inputs of the box with another label; inf without one."""
    ends = []
    for feature in range(len(x)):
        used = {np.float32(t) for v in model.votes_ for f, t in zip(v["feature"], v["threshold"], strict=True)
                if f == feature and low <= t < high}  # fmt: skip
        above = sorted({np.float32(low), *(np.nextafter(t, np.float32(2)) for t in used)})
        upto = sorted({*used, np.float32(high)})
        ends.append(sorted({np.clip(x[feature], a, b) for a, b in zip(above, upto, strict=True)}))
    cells = np.array(list(product(*ends)), dtype=np.float32)
    move = cells[model.predict(cells) != label].astype(np.float64) - x
    if not len(move):
        return np.inf, np.inf
    return np.sqrt((move**2).sum(axis=1)).min(), np.abs(move).max(axis=1).min()
