"""Statistics: NumPy, SciPy, pandas and statsmodels only. Nothing here knows of configurations, trackers or workflows."""
