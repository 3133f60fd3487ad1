raise ImportError("secrets of the workflow")
