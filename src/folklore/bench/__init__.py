"""What stacking gains on this machine, measured against what users would pick instead; `python -m folklore.bench`."""
