"""Files for people and programs: what a run folder amounts to, as JSON, as a page and as text."""
