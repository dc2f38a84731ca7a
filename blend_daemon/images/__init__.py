"""Image files to rasters and back, with depth, colours, orientation and metadata. The only package that knows file formats."""

from blend_daemon.images.colour import in_colours_of
from blend_daemon.images.mask import mask_of
from blend_daemon.images.picture import About, Picture
from blend_daemon.images.reading import read
from blend_daemon.images.scene import Scene, read_scene
from blend_daemon.images.writing import FORMATS, check_format, encoded, losses

__all__ = ["FORMATS", "About", "Picture", "Scene", "check_format", "encoded", "in_colours_of", "losses", "mask_of", "read", "read_scene"]
