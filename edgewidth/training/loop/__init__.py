"""The loop that every training shares."""
