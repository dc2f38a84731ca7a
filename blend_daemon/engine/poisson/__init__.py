"""Poisson's equation on a mask, and who solves it."""
