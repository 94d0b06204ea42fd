"""What the exact search is compared with; each returns None where it finds nothing within the budgets."""
