"""The report and the pages of attacked texts."""
