"""Ways to train the same nets, a file each: `clock(run, data, width)` gives microseconds a model-step over a number of updates.

`NETWORKS(width)` says how many networks the way trains at once, `REQUIRES` the package that it needs beside those of Folklore.
"""
