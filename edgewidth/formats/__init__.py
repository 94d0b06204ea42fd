"""Model files: made of a trained network, cut to narrower widths, described, and run on this machine.

- ``format.py`` is the protocol of a format, ``registry.py`` lists those there are, and ``tflite/`` and ``onnx/`` are
  one each. Everything else here is the same for all of them; elsewhere only ``records.measurement`` (their names) and
  what runs files on a device (``devices.on_device``, ``devices.fake``) tell formats apart.
- ``conversion.py`` is what a format makes files of: ``artifacts.py`` makes those of a trained network, ``variants.py``
  those that are only measured. ``folded.py`` has what is to be known of weights.
- ``inspect.py`` tells what any file is and what it computes here.
- ``sizes.py`` foretells how large a file will be.
"""
