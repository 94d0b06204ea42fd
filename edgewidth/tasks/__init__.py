"""What a network is for: its outputs and targets, how it learns them, how well it does.

``task.py`` says what a task must offer. A new task is a folder beside ``classification/``, an entry in ``registry.py``,
and where its targets are no labels, a function in its folder that reads them for ``edgewidth.data.sources``.
"""
