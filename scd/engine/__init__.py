"""What training is made of: parameters, feature columns, random choices, recorded CUDA graphs."""
