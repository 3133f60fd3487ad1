"""Faults that tests ask for, and how they strike."""
