"""Devices without Python: the runtimes' own benchmark programs."""
