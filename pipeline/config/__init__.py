"""From the composed configuration to checked settings and built objects."""

OF_THE_CALL = {"target_class": "target", "mask": "mask", "integer": "integer"}
"""Keys of the group `attack` that are arguments of the attack's call, not of its class; null where not used."""
