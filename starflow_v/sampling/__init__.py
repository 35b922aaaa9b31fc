"""Sampling as stages on a stream of latent frames: deep, shallow, denoise."""
