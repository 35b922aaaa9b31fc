"""Videos, images and scenes: what the models are trained on."""
