"""The main process of a workflow as a task of the platform, so that no laptop has to stay on."""
