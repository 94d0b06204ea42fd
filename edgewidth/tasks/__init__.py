"""What a network is for: its outputs and targets, how it learns them, how well it does.

``task.py`` says what a task must offer. A new task is a folder beside ``classification/`` and its entries in
``registry.py``: the task itself, and what reads its targets from a data source. Which task a source is for,
``edgewidth.data.sources`` decides: so far all are for classification.
"""
