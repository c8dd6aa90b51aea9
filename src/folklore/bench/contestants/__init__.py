"""Ways to train the same nets, a file each: `clock(run, data, ...)` gives microseconds a model-step over a number of updates.

A stacked way is told how many networks to train at once, the plain loop which form to take; `REQUIRES` names the package that a way
needs beside those of Folklore.
"""
