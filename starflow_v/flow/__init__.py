"""The mathematics of the flow: read `affine`, then `block`, `predictor`, `solver`, `starflow`."""
