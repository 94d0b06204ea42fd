"""Where images come from, and the parts they are split into."""
