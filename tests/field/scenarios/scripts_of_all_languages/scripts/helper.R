total <- function(values) sum(unlist(values))
