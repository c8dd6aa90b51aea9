"""How a run is trained, one file a level: `train(stack)` takes a stack (`folklore.core.training.Stack`) through all its updates.

What a procedure measures on its way goes into `stack.measures`: a name -> an array (R,).
"""
