"""Frozen domain types and their versioned JSON; every other room speaks in these."""
