with open(snakemake.output[0], "w", encoding="utf-8") as aus:
    print(snakemake.params.text, snakemake.config["größe"], "„ok“", file=aus)
