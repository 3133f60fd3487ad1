"""Inputs are staged, tasks are created and started, alone or together."""
