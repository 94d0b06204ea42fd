"""Ways to reach a device, all behind one protocol."""
