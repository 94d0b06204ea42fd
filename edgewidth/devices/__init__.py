"""Reaching a device and measuring files on it."""
