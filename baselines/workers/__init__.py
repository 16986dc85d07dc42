"""Votes that are trained in worker processes, which import no torch."""
