"""A model whose distances are known exactly: a random half-space, its boundary far inside the box."""

import numpy as np


class HalfSpace:
    """Label 1 beyond a hyperplane at L2 distance `distance` of the original `x`, shape (1, d); computes in float64."""

    def __init__(self, d, distance, seed, spread=0.1):
        rng = np.random.default_rng(seed)
        normal = rng.standard_normal(d)
        self.normal = normal / np.linalg.norm(normal)
        self.x = (0.5 + rng.uniform(-spread, spread, (1, d))).astype(np.float32)
        self.distance = distance
        self.bound = float(self.x[0].astype(np.float64) @ self.normal) + distance
        self.queried = 0

    def __call__(self, rows):
        self.queried += len(rows)
        return (rows.astype(np.float64) @ self.normal > self.bound).astype(np.int64)

    def beyond(self, rows):
        """Return the distances of rows beyond the hyperplane."""
        return rows.astype(np.float64) @ self.normal - self.bound


def best_of_each_run(result):
    """Final best L2 of every (index, restart), from the trace."""
    keys = np.stack([result.trace["index"], result.trace["restart"]], axis=1)
    runs, inverse = np.unique(keys, axis=0, return_inverse=True)
    best = np.full(len(runs), np.inf)
    np.minimum.at(best, inverse.reshape(-1), result.trace["l2"])
    return best


def same_result(first, second):
    """Return whether two records are bit-identical."""
    one, two = first.to_arrays(), second.to_arrays()
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)
