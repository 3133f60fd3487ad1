rule report:
    input:
        units,
        sheet=config["samples"],
    output:
        "results/report/{sample}.tsv",
    log:
        "logs/report/{sample}.log",
    script:
        "../scripts/report.py"
