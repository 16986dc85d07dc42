"""Hydra plugins of this project: Hydra finds them by the name of the outer package."""
