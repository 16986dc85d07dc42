"""What attacks share: run state, initial points, bisection, gradient estimate, checkpoint, random streams, kernels."""
