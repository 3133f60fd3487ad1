"""From an HTTP request to a handler's call, and what surrounds every request."""
