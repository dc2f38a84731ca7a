"""How large a job may be. One place, for files and for the wire."""

MAX_PIXELS = 100_000_000  # of one raster: a 10000 x 10000 picture
MAX_SIDE = 65_535
