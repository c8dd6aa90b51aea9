"""The nets, one file a level: `anatomy(layout)` says what parameters a net has, `forward(net, x)` how it computes its logits."""
