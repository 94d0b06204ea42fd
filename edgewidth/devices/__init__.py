"""Reaching a device and measuring files on it.

What each part is for; a part imports none that stands below it:

- ``words``: the texts that may stand in a profile; ``profiles``: which device, as a TOML file says it.
- ``on_device``: what runs there. ``runtimes`` is where the runner learns another Python runtime, ``sensors`` where it
  learns another GPU or power sensor.
- ``reach``: the ways to reach one; ``emulator`` and ``fake`` are two more. A new one is a file with a ``Transport``
  whose class has ``open``, a word in ``DeviceProfile.transport`` and an entry in ``device``; where keys or clocks of a
  profile are its own, ``DeviceProfile`` has the rule.
- ``engines``: what runs a model there. A new runtime or launcher is a file with an ``EngineSupport``, its entry in
  ``engines.table``, and its words in ``records.measurement``, which also has the runtime's file format; a native
  program has a key in the profile, by its launcher's name.
- ``device``: one that is connected.
- ``measure``: from models to visits in a store, and from these to a latency with an interval.
- ``check``: whether a device is fit to measure on.
"""
