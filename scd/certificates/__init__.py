"""Certified radii of hard-voting ensembles of sign networks: how far every adversarial must at least be.

:func:`certify` finds radii and their proofs, :func:`verify_certificate` checks them against the model,
:func:`lower_bounds` gives a table's two numbers, and :func:`exact_distance` closes the interval of a small ensemble.
The method is described in ``docs/certificates.md``.
"""

from scd.certificates.certify import Certificates, certify, lower_bounds, verify_certificate
from scd.certificates.exact import Interval, exact_distance
from scd.certificates.proof import Proof

__all__ = ["Certificates", "Interval", "Proof", "certify", "exact_distance", "lower_bounds", "verify_certificate"]
