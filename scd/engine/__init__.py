"""Parts of training and prediction: samples, random choices, descent, objective, forward pass."""
