"""The paper's tables, from what runs recorded."""
