"""The one loop of all methods that optimise, and L-BFGS."""
