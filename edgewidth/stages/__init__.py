"""One function per stage, and ``run``, which does them in turn; all of them work in a run folder.

``folder`` names the files of a run folder, and ``claim`` makes it one program's and one request's. ``ledger`` declares
what each stage makes of what, and decides by that what is done, has to be done, or is refused. ``bench`` has the device
and its measurements. ``face`` is what a program calls: the same stages with paths, documents and plain values.
"""
