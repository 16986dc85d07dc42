"""The paper's figures, from what runs recorded."""
