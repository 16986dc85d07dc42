"""Tree ensembles as sums of boxes, for attacks that see the trees and for certified distances; of several libraries."""

from scd.trees.boxes import Leaves, Trees
from scd.trees.closest import Closest, closest_point
from scd.trees.readers import as_trees, check_tree_kinds, forest_trees, joined_trees

__all__ = [
    "Closest",
    "Leaves",
    "Trees",
    "as_trees",
    "check_tree_kinds",
    "closest_point",
    "forest_trees",
    "joined_trees",
]
