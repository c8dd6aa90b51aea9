"""Pictures: data frames in, axes out. No statistics is computed here."""
