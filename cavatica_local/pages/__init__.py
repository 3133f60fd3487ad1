"""Pages for people: what the API says of projects, tasks and files, in a browser."""
