"""Speeds on a CUDA device: fits of whole ensembles, the forward pass against the GPU's products, HopSkipJump."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.bench.attacks import attack_rates
from scripts.bench.measure import Section, seconds_of, timed
from scripts.bench.training import VARIANTS

_ROWS = 8192


def on_card(x: np.ndarray, y: np.ndarray) -> Section:
    """Seconds of fits of 100 votes to their end, compiled before; rates of labels from rows in the host's memory."""
    import torch

    if not torch.cuda.is_available():
        return Section("CUDA", notes=["Not measured: torch finds no CUDA device."])
    from scd import SCDClassifier

    section = Section(f"100 votes on one {torch.cuda.get_device_name()}")
    models: dict[str, Any] = {}
    for name in ("scd01", "scdce", "scdcebnn"):  # the paper's
        kind = VARIANTS[name]
        model = models[name] = SCDClassifier(**kind, random_state=0, device="cuda")
        SCDClassifier(**{**kind, "n_iter": 8}, random_state=0, device="cuda").fit(x, y)  # compiles
        seconds = timed(lambda model=model: model.fit(x, y))  # type: ignore[misc]
        section.figures[f"{name}, {kind['n_iter']:,} iterations, s"] = seconds
        section.figures[f"{name}, vote-iterations/s"] = 100 * kind["n_iter"] / seconds
    model, block = models["scd01"], x[:_ROWS].copy()
    weights = torch.from_numpy(model._forward.weights).cuda()
    rows = torch.from_numpy(block).cuda()

    def product() -> None:
        rows @ weights.T
        torch.cuda.synchronize()

    products = _ROWS / seconds_of(product, 10)
    predicted = _ROWS / seconds_of(lambda: model.predict(block), 5)
    section.figures |= {"predict, rows/s": predicted, "float32 product of rows on the GPU, rows/s": products}
    attack = attack_rates(model, x, y, only=["hsj", "rays"])
    section.figures |= attack.figures
    section.ratios |= attack.ratios | {"hsj / float32 product": attack.figures["hsj, labels/s"] / products}
    return section
