"""What a network is, as data, without any framework.

``widths``     Segments and tuples of them: the channels of a tensor, and what a configuration keeps of these.
``operators``  What can be computed, and in tables of which rooms it stands: begin there to add an operator.
``spec``       The graph of operators.
``space``      The search space: the graph with the choices of every width variable, and its configurations.
``costs``      What is counted: multiply-accumulates, parameters, memory.
``families``   Networks as descriptions, by name.
``version1``   Networks as the first version wrote them.
"""
