"""From a torch module or an exported program to a network: its graph, its width variables, its weights."""
