"""edgewidth: the channel widths that lose the least accuracy within a device's latency budget."""

from importlib.metadata import version

__version__ = version("edgewidth")
