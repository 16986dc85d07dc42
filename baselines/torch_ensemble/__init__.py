"""Votes that torch trains, many at a time."""
