"""The stacked core: many small networks of one compute graph, trained at once as tensors with a leading run axis.

Shapes, everywhere in this package: R runs, S steps, B rows of a minibatch, F input features, H hidden units, C classes, N rows.
The core knows nothing of configuration files, trackers or workflows: it turns run specifications and arrays into numbers.
"""

import os

# MKL otherwise picks its kernel by the alignment of an operand, so that last bits could hang on a run's slot in its stack.
os.environ.setdefault("MKL_CBWR", "AUTO")
