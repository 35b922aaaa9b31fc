"""Ingredients of the networks: tensors in, tensors out; they know of no flow and no video."""
