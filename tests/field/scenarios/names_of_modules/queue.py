raise ImportError("queue of the workflow")
