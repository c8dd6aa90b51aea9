"""Verdicts and figures in, a PDF out. Results in the prose are computed from the verdicts, never typed in."""
