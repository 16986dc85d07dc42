"""Parts of attacks on documents: search, constraints, synonyms, similarity, oracle, checkpoint, result."""
