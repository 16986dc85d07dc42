"""Parts shared by attacks: run state, initial points, bisection, gradient estimate, checkpoint, validation."""
