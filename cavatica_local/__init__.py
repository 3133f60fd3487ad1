"""The embedded platform: CAVATICA's API v2 on this machine, really executing tasks."""
