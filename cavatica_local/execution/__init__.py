"""Which task runs when, with which inputs, and what it leaves."""
