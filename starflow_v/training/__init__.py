"""Training: what is learned, apart from how.

`objectives` are pure functions; `flow` and `codec` are recipes of what is trained; `engine` trains
any recipe; `export` makes of a checkpoint what `from_pretrained` reads.
"""
