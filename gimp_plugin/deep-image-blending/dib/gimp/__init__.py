"""What is read from GIMP's images, and what is put into them: beside the procedures, all that touches libgimp."""
