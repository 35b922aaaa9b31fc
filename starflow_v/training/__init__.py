"""Training: objectives as pure functions, recipes of what is trained, one engine that trains them.

Read `recipe` for the seam between the two, `trainer` for the engine, `codec` for the simplest
recipe.
"""
