"""The distance of a small ensemble as a mixed-integer programme, for a solver that knows nothing of our search."""

import numpy as np
from pyscipopt import Model, quicksum

_EFFECT = 0.125  # half of the grid of the output weights: what a sum must be above its limit to be above it
_FOUND = 1e-5  # relative gap at which the solver may stop


def solved_distance(votes, x, label, norm, reach):
    """The distance of the closest point within `reach` in each feature whose label is not `label`; inf without one.

    Output weights and limits must be multiples of 1/4, so that a sum is at its limit or 1/4 from it. A point on the
    hyperplane of a unit counts for both of its sides, as in a closure.

    Parameters
    ----------
    votes : list of dict
    x : (d,)
    label : int
        0 or 1.
    norm : {"l2", "linf"}
    reach : float
    """
    model = Model()
    model.hideOutput()
    model.setParam("limits/gap", _FOUND)
    model.setParam("numerics/feastol", 1e-9)
    move = [model.addVar(lb=-reach, ub=reach) for _ in x]
    distance = model.addVar(lb=0)
    ones, known = [], {}
    for vote in votes:
        fires = []
        for weights, threshold in zip(vote["hidden"], vote["thresholds"], strict=True):
            plane = weights.tobytes(), float(threshold)  # units on one plane fire together
            if plane not in known:
                wide = weights.astype(np.float64)
                known[plane] = _half_space(model, move, wide, float(wide @ x.astype(np.float64)) - threshold, reach)
            fires.append(known[plane])
        total = quicksum(float(weight) * on for weight, on in zip(vote["output"], fires, strict=True))
        above, size = model.addVar(vtype="B"), float(np.abs(vote["output"]).sum() + abs(vote["output_threshold"])) + 1
        limit = float(vote["output_threshold"])
        model.addCons(total >= limit + _EFFECT - size * (1 - above))
        model.addCons(total <= limit + _EFFECT + size * above)
        ones.append(above)
    if label == 1:
        model.addCons(2 * quicksum(ones) <= len(votes))
    else:
        model.addCons(2 * quicksum(ones) >= len(votes) + 1)
    if norm == "l2":
        model.addCons(quicksum(step * step for step in move) <= distance)
    else:
        for step in move:
            model.addCons(step <= distance)
            model.addCons(-step <= distance)
    model.setObjective(distance, "minimize")
    model.optimize()
    if model.getStatus() == "infeasible":
        return np.inf
    assert model.getStatus() in ("optimal", "gaplimit")
    found = max(model.getObjVal(), 0.0)
    return np.sqrt(found) if norm == "l2" else found


def _half_space(model, move, weights, beyond, reach):
    """A variable that is 1 only where the unit is on, and 0 only where it is off."""
    on = model.addVar(vtype="B")
    if not weights.any():
        model.addCons(on == int(beyond > 0))
        return on
    along = quicksum(float(w) * step for w, step in zip(weights, move, strict=True))
    size = float(np.abs(weights).sum() * reach + abs(beyond)) + 1
    model.addCons(along + float(beyond) >= -size * (1 - on))
    model.addCons(along + float(beyond) <= size * on)
    return on
