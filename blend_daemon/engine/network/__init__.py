"""VGG-16: its weights, features, and losses of features."""
