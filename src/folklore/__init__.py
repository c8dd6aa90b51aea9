"""Folklore: which deep-learning tricks survive measurement?"""

from __future__ import annotations

__version__ = "0.1.0"
