"""The rivals: each a vote ensemble as :class:`scd.ensemble.VoteEnsemble`, one file each."""
