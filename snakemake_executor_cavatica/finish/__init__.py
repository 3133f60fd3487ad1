"""Outputs come to their place, failures are explained, jobs are reported."""
