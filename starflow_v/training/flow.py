"""Training the flow and its denoiser, together, from scenes.
"""
