"""The run folder, for people and for programs."""
