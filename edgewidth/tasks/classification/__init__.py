"""Classification: every example is of one class, and the network gives one logit for each."""
