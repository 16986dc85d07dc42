"""Certified radii of ensembles of sign networks and of trees: how far every adversarial must at least be.

Sign networks with hard voting: :func:`certify` finds radii and their proofs, :func:`verify_certificate` checks them
against the model, :func:`lower_bounds` gives a table's two numbers, and :func:`exact_distance` closes the interval of a
small ensemble. Sums of trees: :func:`certify_trees`, :func:`verify_tree_certificates` and :func:`exact_tree_distance`.
Votes of logistic units: :func:`certify_sigmoid` and :func:`verify_sigmoid_certificates`. How many features must change:
:func:`fewest_features`. The method is described in ``docs/certificates.md``.
"""

from scd.certificates.certify import Certificates, certify, lower_bounds, verify_certificate
from scd.certificates.exact import Interval, exact_distance
from scd.certificates.features import fewest_features
from scd.certificates.forest import (
    TreeCertificates,
    TreeProof,
    certify_trees,
    exact_tree_distance,
    verify_tree_certificates,
)
from scd.certificates.proof import Proof
from scd.certificates.sigmoid import (
    SigmoidCertificates,
    SigmoidProof,
    certify_sigmoid,
    verify_sigmoid_certificates,
)

__all__ = [
    "Certificates",
    "Interval",
    "Proof",
    "SigmoidCertificates",
    "SigmoidProof",
    "TreeCertificates",
    "TreeProof",
    "certify",
    "certify_sigmoid",
    "certify_trees",
    "exact_distance",
    "exact_tree_distance",
    "fewest_features",
    "lower_bounds",
    "verify_certificate",
    "verify_sigmoid_certificates",
    "verify_tree_certificates",
]
