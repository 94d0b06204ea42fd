"""TFLite files."""

IDENTIFIER = b"TFL3"
"""What every TFLite file has at its fifth byte."""
