"""Figure 3: an ECG and its adversarials; the same for images, as original, adversarial and difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scripts.figures.style import Drawn, axes, colour
from scripts.results import Results
from scripts.tables.cells import command, largest, where

ECG_MODELS = ("scd01", "cnn1d", "rf")
IMAGE_MODELS = ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "lenet", "resnet50", "rf")
IMAGES = ("cifar10", "gtsrb", "celeba", "imagenet", "digits", "mnist")


def figure3(results: Results) -> Drawn:
    """One heartbeat that all models classify correctly, and the nearest adversarial found for each of them."""
    for dataset in ("ptb", "ecg200"):
        found = {m: rows for m in ECG_MODELS if len(rows := _runs(results, dataset, m))}
        if found:
            return _beat(results, dataset, found)
    title = "Figure 3: an ECG and its adversarials"
    more = f" points.rule=correct_for_all points.models=[{','.join(ECG_MODELS)}]"
    words = command("ptb", ECG_MODELS, "hsj") + more
    return Drawn(title, pd.DataFrame(), None, [f"Filled by: `{words}` (or dataset=ecg200)"])


def _beat(results: Results, dataset: str, found: dict[str, pd.DataFrame]) -> Drawn:
    index, examples = _common(results, found)
    title = f"Figure 3: an ECG and its adversarials ({dataset}, test beat {index})"
    models = list(examples)
    figure, panels = axes(len(models), 1, 6.4, 1.7, sharex=True)
    columns: dict[str, Any] = {}
    for (panel,), model in zip(panels, models, strict=True):
        example = examples[model]
        panel.plot(example["original"], color="#adb5bd", lw=1.6, label="original")
        panel.plot(example["adversarial"], color=colour(model), lw=1.0, label=f"adversarial of {model}")
        panel.set_ylabel("value")
        panel.legend(
            loc="upper right", title=f"L2 {_distance(example):.3f}", fontsize=8, title_fontsize=8, frameon=False
        )
        columns |= {"original": example["original"], model: example["adversarial"]}
    panels[-1][0].set_xlabel("sample")
    notes = ["The nearest adversarial that HopSkipJump found for each model, of one beat that all classify correctly."]
    if dataset != "ptb":
        notes.append("ECG200 is shown instead of the paper's PTB; its beats are standardised one by one.")
    data = pd.DataFrame({"sample": np.arange(len(examples[models[0]]["original"])), **columns})
    return Drawn(title, data, figure, notes)


def images(results: Results, dataset: str) -> Drawn:
    """One image of a set, the nearest adversarial of each model beside it, and their difference, stretched."""
    found = {m: rows for m in IMAGE_MODELS if len(rows := _runs(results, dataset, m))}
    title = f"Images of {dataset}: original, adversarial and difference"
    if not found:
        return Drawn(title, pd.DataFrame(), None, [f"Filled by: `{command(dataset, 'scd01', 'hsj')}`"])
    index, examples = _common(results, found)
    shape = tuple(int(size) for size in largest(next(iter(found.values())))["feature_shape"].split("x"))
    figure, panels = axes(len(examples), 3, 1.9, 1.9)
    facts = []
    for row, (model, example) in zip(panels, examples.items(), strict=True):
        difference = example["adversarial"] - example["original"]
        largest_change = float(np.abs(difference).max()) or 1.0
        shown = {
            f"{model}: original": example["original"],
            f"adversarial, L2 {_distance(example):.2f}": example["adversarial"],
            f"difference × {0.5 / largest_change:.3g}": 0.5 + 0.5 * difference / largest_change,
        }
        for panel, (name, picture) in zip(row, shown.items(), strict=True):
            pixels = np.moveaxis(picture.reshape(shape), 0, 2)
            panel.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.set_title(name, fontsize=8)
            panel.set_axis_off()
        facts.append({"model": model, "index": index, "l2": _distance(example), "linf": largest_change})
    notes = [
        f"Test image {index}. The difference is stretched until its largest entry is white or black; grey is none."
    ]
    return Drawn(title, pd.DataFrame(facts), figure, notes)


def _runs(results: Results, dataset: str, model: str) -> pd.DataFrame:
    """HopSkipJump's runs from noise whose adversarials are there (published records have no pictures)."""
    found = where(results.attacks, dataset=dataset, model=model, attack="hsj", norm="l2", start="noise", voting="hard")
    there = [results.source.adversarials(run) is not None for run in found.get("folder", [])]
    return found[there] if len(found) else found


def _common(results: Results, found: dict[str, pd.DataFrame]) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """The first of the points attacked with success for the most models, and its example for each of them."""
    opened = {model: _read(results, largest(rows)) for model, rows in found.items()}
    counts: dict[int, int] = {}
    for examples in opened.values():
        for index in examples:
            counts[index] = counts.get(index, 0) + 1
    index = max(counts, key=lambda i: counts[i])
    return index, {model: examples[index] for model, examples in opened.items() if index in examples}


def _read(results: Results, run: pd.Series) -> dict[int, dict[str, np.ndarray]]:
    arrays = results.source.adversarials(run["folder"])
    assert arrays is not None  # only runs with adversarials are chosen
    return {
        int(i): {"original": arrays["original"][k], "adversarial": arrays["adversarial"][k]}
        for k, i in enumerate(arrays["index"])
        if np.isfinite(arrays["adversarial"][k]).all()
    }


def _distance(example: dict[str, np.ndarray]) -> float:
    return float(np.linalg.norm(example["adversarial"].astype(np.float64) - example["original"].astype(np.float64)))
