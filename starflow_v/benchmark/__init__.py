"""How fast a flow is sampled, and how right: solvers side by side on one model.

stopwatch   seconds of each stage
memory      the most that a run held
clip        one clip, made stage by stage
error       how well what a solver found solves the equation
solvers     solvers by their names
campaign    all of them in turn, again and again
report      what was measured, as a table and as JSON
comparison  two such reports, and which of their differences are noise
"""
