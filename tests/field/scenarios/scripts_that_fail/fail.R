stop("R gave up")
