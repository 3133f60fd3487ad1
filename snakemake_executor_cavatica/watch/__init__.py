"""When tasks are looked at, and what their state means."""
