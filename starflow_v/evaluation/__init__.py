"""Measures: likelihood, motion, and whether a clip shows what its caption says."""
