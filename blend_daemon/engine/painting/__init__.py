"""What the method `deep` does to an object: matting, the start, the match, the objective, the palette."""
