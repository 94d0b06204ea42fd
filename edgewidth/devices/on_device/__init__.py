"""What runs on the device itself: Python 3.9, the standard library, NumPy and a runtime."""
