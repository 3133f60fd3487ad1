"""From an HTTP request to a handler and back, and what surrounds every request."""
