"""A plan becomes what the platform gets: CWL tool, job script, draft. Pure."""
