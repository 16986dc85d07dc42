"""Data sets: one file per set, each with a ``load`` function that returns a :class:`Dataset`.

The loaders are named by the ``_target_`` of ``conf/dataset/<name>.yaml``. This room imports no other room, and
importing it costs no more than NumPy: whatever reads or downloads official files is imported where it is used.
"""

from data.dataset import Dataset

__all__ = ["Dataset"]
