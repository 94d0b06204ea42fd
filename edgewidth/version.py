"""Which version of edgewidth this is."""

from importlib.metadata import version

__version__ = version("edgewidth")
