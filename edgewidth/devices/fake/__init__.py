"""A device that is not there."""
