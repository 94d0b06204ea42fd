"""Reaching a device and measuring files on it.

Each part knows only those before it:

- ``profiles``: which device, as a TOML file says it; ``words``: what may stand there.
- ``on_device``: what runs there. ``runtimes`` is where the runner learns another Python runtime.
- ``reach``: the ways to reach one; ``emulator`` and ``fake`` are two more. A new one is a file with a ``Transport``, a
  word in the profile and an entry in ``device``.
- ``engines``: what runs a model there. A new runtime or launcher is a file, a word in the profile and an entry in
  ``engines.table``.
- ``device``: one that is connected.
- ``measure``: from models to visits in a store, and from these to a latency with an interval.
- ``check``: whether a device is fit to measure on.
"""
