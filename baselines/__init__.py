"""The baselines: each is a :class:`scd.ensemble.VoteEnsemble`, in one file."""
