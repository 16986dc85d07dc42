"""Parts of training and prediction: bases, feature columns, random choices, descent, objective, forward pass."""
