"""What the tables, figures and the report read of finished runs, wherever these are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd


class Source(Protocol):
    """Finished fits and attacks. A run is named by its folder in the store: ``<dataset>-<model>-…-<key>``."""

    def evaluations(self) -> pd.DataFrame:
        """A row per evaluated ensemble, in the order of the runs' names (docs/results/schema.md: evaluations)."""

    def attacks(self) -> pd.DataFrame:
        """A row per finished attack, in the order of the runs' names (docs/results/schema.md: attacks)."""

    def examples(self, run: str) -> pd.DataFrame:
        """The attacked examples of an attack, a row per test sample (the frame's index)."""

    def curve(self, run: str) -> pd.DataFrame:
        """Columns ``queries`` of a run so far, ``l2``: the mean over points of the best of its runs until then."""

    def table(self, run: str, name: str) -> pd.DataFrame:
        """A further table of an attack: ``transfer``, ``pairs``, ``curve`` or ``levels``."""

    def adversarials(self, run: str) -> dict[str, np.ndarray] | None:
        """Arrays ``index`` (n,), ``label`` (n,), ``original`` and ``adversarial`` (n, d); None where there are none."""

    def notes(self) -> list[str]:
        """Sentences on runs that were left out because their files are damaged, of what has been read so far."""

    def record(self, run: str) -> dict[str, Any]:
        """Configuration (``config``) and provenance of a run; empty where it is not known."""


def open_source(folder: Path) -> Source:
    """The runs in `folder`: a publication where it holds ``runs.csv``, else a store."""
    from scripts.records.publication import RUNS, Publication
    from scripts.records.run_store import RunStore

    return Publication(folder) if (folder / RUNS).is_file() else RunStore(folder)
