"""Figures of what the plugin costs, each beside what a user would otherwise do: see README.md."""
