"""Programs that read what runs wrote (tables) or measure (bench). They never train or attack for a result."""
