"""Pictures as arrays: pixels, the problem to solve, windows of it, colour, filters."""
