"""Thin entry points, one for each rule of the workflow."""
