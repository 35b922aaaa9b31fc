"""The engine: one loop for whatever is trained. Read `recipe` for the seam, then `trainer`."""
