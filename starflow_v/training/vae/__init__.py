"""Training the codec: the VAE that the embedded model sees the world through."""
