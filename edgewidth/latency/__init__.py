"""Which configurations to measure, and the table fitted to what was measured."""
