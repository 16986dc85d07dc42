"""Arithmetic of attacks on model inputs: random streams, and kernels for the CPU and the GPU."""
