"""What runs inside a task, where this package is not installed."""
