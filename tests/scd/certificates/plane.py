"""Ensembles over two features whose distances are found by enumeration, degenerate ones included."""

import numpy as np

GRID = 1 << 20


def random_votes(seed, votes, units, features=2, degenerate=True):
    """Votes on a coarse grid, so that ties occur; some with zero weights, duplicate units or a constant label."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(votes):
        hidden = rng.standard_normal((units, features)).astype(np.float32)
        thresholds = (hidden * rng.uniform(0, 1, (units, features))).sum(1).astype(np.float32)
        if degenerate and units > 1 and rng.random() < 0.3:
            hidden[1], thresholds[1] = hidden[0], thresholds[0]
        if degenerate and rng.random() < 0.2:
            hidden[-1] = 0
        output = (
            rng.integers(-4, 5, units) / 4 if rng.random() < 0.5 else np.round(rng.normal(size=units) * GRID) / GRID
        )
        limit = rng.integers(-4, 5) / 4 if rng.random() < 0.8 else np.sign(rng.normal()) * 100.0
        made.append(
            {
                "hidden": hidden,
                "thresholds": thresholds,
                "output": output.astype(np.float64),
                "output_threshold": np.float64(limit),
            }
        )
    if degenerate and votes > 1 and rng.random() < 0.3:
        made[-1] = {name: array.copy() for name, array in made[0].items()}
    return made


def labels(votes, rows):
    """(n,) majority in float64 by the definition; a tie is class 0."""
    ones = np.zeros(len(rows), dtype=int)
    for vote in votes:
        on = rows @ vote["hidden"].astype(np.float64).T > vote["thresholds"]
        ones += on @ vote["output"] > vote["output_threshold"]
    return (2 * ones > len(votes)).astype(int)


def exact_l2(votes, x, label):
    """The L2 distance to the closest point of another label (to its closure), over two features without a box.

    That point is `x`, the foot on a line, or a crossing of two lines (duplicates share theirs; three lines through one
    point do not occur). The labels are read there and on all sides of the lines.
    """
    w = np.concatenate([vote["hidden"] for vote in votes]).astype(np.float64)
    b = np.concatenate([vote["thresholds"] for vote in votes]).astype(np.float64)
    length = np.linalg.norm(w, axis=1)
    w, b = w[length > 0] / length[length > 0, None], b[length > 0] / length[length > 0]
    feet = x + (b - w @ x)[:, None] * w
    i, j = np.triu_indices(len(b), 1)
    det = w[i, 0] * w[j, 1] - w[i, 1] * w[j, 0]
    i, j, det = i[np.abs(det) > 1e-9], j[np.abs(det) > 1e-9], det[np.abs(det) > 1e-9]
    crossings = np.column_stack([b[i] * w[j, 1] - b[j] * w[i, 1], w[i, 0] * b[j] - w[j, 0] * b[i]]) / det[:, None]
    along = np.column_stack([-w[:, 1], w[:, 0]])
    sides = [(x[None], np.zeros((1, 2))), *((feet, s * w) for s in (0, 1, -1))]
    sides += [(crossings, s * along[i] + r * along[j]) for s in (1, -1) for r in (1, -1)] + [(crossings, 0 * w[i])]
    points = np.concatenate([p for p, _ in sides])
    around = points + 1e-7 * np.concatenate([move for _, move in sides])
    changed = labels(votes, around) != label
    return np.linalg.norm(points - x, axis=1)[changed].min(initial=np.inf)


def fitted_votes(X, y, votes, units, seed=0):
    """Votes with random hidden units at medians and least-squares outputs on a grid: quick, and far from constant."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(votes):
        hidden = rng.standard_normal((units, X.shape[1])).astype(np.float32)
        thresholds = np.median(X @ hidden.T, axis=0).astype(np.float32)
        on = (thresholds < X @ hidden.T).astype(np.float64)
        fit = np.linalg.lstsq(np.column_stack([on, -np.ones(len(X))]), 2.0 * y - 1, rcond=None)[0]
        fit = np.round(fit * GRID) / GRID
        made.append({"hidden": hidden, "thresholds": thresholds, "output": fit[:-1], "output_threshold": fit[-1]})
    return made
