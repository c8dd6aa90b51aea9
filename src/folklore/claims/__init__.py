"""One file a claim; see `folklore.claims.base` for the contract."""
