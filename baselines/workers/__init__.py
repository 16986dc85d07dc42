"""Votes that are trained in processes of their own, which import no torch."""
