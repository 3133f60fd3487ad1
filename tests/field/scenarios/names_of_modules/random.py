raise ImportError("random of the workflow")
