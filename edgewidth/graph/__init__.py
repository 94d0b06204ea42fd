"""Networks as data: the families, and what can be counted from a description."""
