"""Deep Image Blending: the engine, its service and its command line."""
