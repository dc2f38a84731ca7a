"""Methods of blending side by side: run, scored, shown, and judged blind."""
