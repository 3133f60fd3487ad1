"""Probes that find out whether a real platform does what the local one assumes."""
