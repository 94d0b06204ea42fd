"""Networks as descriptions, by name."""
