"""The best assignment within a budget; nothing here knows what the numbers mean."""
