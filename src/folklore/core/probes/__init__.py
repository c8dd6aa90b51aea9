"""What is measured on trained nets beside their scores, one file a level: `measure(stack)` -> a name -> an array (R,)."""
