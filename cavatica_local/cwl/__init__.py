"""What the server has to know of CWL documents."""
