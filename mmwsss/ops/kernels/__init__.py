"""Compiled kernels: the decorator, and vectors of a CPU."""
