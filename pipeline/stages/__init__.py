"""The stages of a run: data, fit, evaluate, attack."""
