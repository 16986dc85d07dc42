"""Foolbox's HopSkipJump and Boundary Attack on the same model, if it is installed (``pip install foolbox``)."""

from __future__ import annotations

import importlib
import warnings
from functools import partial
from typing import Any

import numpy as np

from scripts.bench.attacks import measure
from scripts.bench.measure import Section

_POINTS = 10


def foolbox_rates(model: Any, x: np.ndarray, y: np.ndarray) -> Section:
    """Labels a second and shares of the forward rate, 10 points in one batch, from images of the other class."""
    section = Section("Queries of Foolbox on 100 votes, as a fraction of the forward rate (10 points)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old names in SciPy
            foolbox: Any = importlib.import_module("foolbox")
    except ImportError:
        section.notes.append("Foolbox is not installed: `pip install foolbox==3.3.4` to compare with it.")
        return section
    import torch

    predicted = model.predict(x[:400])
    right = np.flatnonzero(predicted == y[:400])[:_POINTS]
    starts = [np.flatnonzero((predicted == y[:400]) & (y[:400] != y[i]))[0] for i in right]
    points, labels = torch.from_numpy(x[right]), torch.from_numpy(y[right].astype(np.int64))
    asked = [0]

    class Labels(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            asked[0] += len(rows)
            found = model.predict(rows.detach().numpy().reshape(len(rows), -1))
            return torch.nn.functional.one_hot(torch.from_numpy(found), 2).float()

    def run(attack: Any) -> float:
        asked[0] = 0
        wrapped = foolbox.PyTorchModel(Labels().eval(), bounds=(0, 1), device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attack.run(wrapped, points, foolbox.Misclassification(labels), starting_points=torch.from_numpy(x[starts]))
        return float(asked[0])

    block = x[:2048].copy()
    for name, attack in {
        "HopSkipJump": foolbox.attacks.HopSkipJumpAttack(steps=3),
        "BoundaryAttack": foolbox.attacks.BoundaryAttack(steps=100),
    }.items():
        try:
            found = measure(partial(run, attack), lambda: model.predict(block), len(block))
        except (ValueError, RuntimeError, AssertionError) as refused:
            section.notes.append(f"{name}: does not run on this model ({refused}).")
            continue
        section.figures[f"Foolbox {name}, labels/s"] = found[0]
        section.figures[f"Foolbox {name} / forward rate"] = found[1]
    return section
