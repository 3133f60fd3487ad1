"""What the server knows: database, contents, tree of files."""
