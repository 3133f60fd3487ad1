"""What users see of a run, while it goes on and long after: one record, and what it tells."""
