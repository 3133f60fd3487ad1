log <- file(snakemake@log[[1]], open = "wt")
sink(log, type = "message")
message("writing")
source(file.path(snakemake@scriptdir, "helper.R"))
lines <- c(
  total(snakemake@params[["numbers"]]),
  snakemake@params[["text"]],
  as.character(snakemake@params[["flag"]]),
  basename(snakemake@input[["named"]]),
  readLines(snakemake@input[[1]]),
  snakemake@config[["deep"]][["list"]][[2]]
)
writeLines(lines, snakemake@output[[1]])
