"""State dicts as the authors' programs write them, made up."""

from __future__ import annotations

from pathlib import Path

import torch


def write_votes(folder: Path, features: int, count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Write `vote_0.pt` and so on into `folder`; units whose thresholds are near the middle of inputs in [0, 1]."""
    generator, states = torch.Generator().manual_seed(seed), []
    for number in range(count):
        hidden = torch.randn(20, features, generator=generator)
        state = {
            "fc1_si.weight": hidden,
            "fc1_si.bias": -hidden.sum(dim=1) / 2 + torch.randn(20, generator=generator) / 10,
            "fc2_si.weight": torch.randn(1, 20, generator=generator),
            "fc2_si.bias": torch.randn(1, generator=generator) / 10,
        }
        torch.save(state, folder / f"vote_{number}.pt")
        states.append(state)
    return states
