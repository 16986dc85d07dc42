"""What attacks on documents are made of."""
