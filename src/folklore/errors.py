"""The one error that a user's input can cause."""


class UsageError(ValueError):
    """Bad input. The message is one line that names the key, the value and the remedy."""
