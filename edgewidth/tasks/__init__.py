"""What a network is for: its outputs and targets, how it learns them, how well it does.

``task.py`` says what a task must offer. A new task is a folder beside ``classification/``, and an entry in
``registry.py``.
"""
