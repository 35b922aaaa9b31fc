"""Training: what is learned, apart from how.

`objectives` are pure functions; `flow`, `matching` and `vae.codec` are recipes of what is trained,
`recipes` finds the one of a configuration; `data` feeds them; `engine` trains any recipe; `export`
makes of a checkpoint what `from_pretrained` reads.
"""
