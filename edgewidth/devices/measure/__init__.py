"""Measuring on a connected device."""
