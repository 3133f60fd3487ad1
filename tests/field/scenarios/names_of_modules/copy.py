raise ImportError("copy of the workflow")
