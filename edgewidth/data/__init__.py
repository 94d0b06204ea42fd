"""Examples and their targets: where they come from, how they are split, in which batches they train.

``sources.py`` reads digits and arrays, ``folder.py`` folders, and ``fitting.py`` brings images to one size;
``split.py`` splits a source into the sets that train, search, are held out and test; ``augmentation.py`` and
``batches.py`` (torch) make training batches; ``pixels.py`` says what a network is given of all that.
"""
