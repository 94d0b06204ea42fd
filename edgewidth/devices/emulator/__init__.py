"""The emulated aarch64 board: its system, its making and its running."""
