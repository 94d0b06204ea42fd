"""Engines: which runtime, on which accelerator, through which launcher.

``engine`` says what is asked of one, ``table`` lists all. ``python`` has those that the runner in the device's Python
imports, ``native`` what all native benchmark programs have in common, and each program has a file of its own.
"""
