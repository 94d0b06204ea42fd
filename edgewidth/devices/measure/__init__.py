"""Measuring on a connected device.

``campaign`` visits many models: it gives orders to the runner through ``session`` and reads its answers through
``wire``; for a native program ``native`` serves that session on this machine. What arrives goes into the ``store``.
``policy`` has the numbers by which all that happens. ``disturbed`` and ``stretches`` find what does not count,
``warnings`` what to tell the user, and ``estimate`` makes a latency of the rest.
"""
