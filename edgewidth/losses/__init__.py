"""Which configurations to evaluate, and what each width costs in loss; no torch."""
