"""What can be known of a run before its first task: problems, requests, costs. Nothing is made."""
