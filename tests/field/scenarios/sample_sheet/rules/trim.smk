rule trim:
    input:
        reads,
    output:
        "results/trimmed/{sample}_{unit}.fq",
    log:
        "logs/trim/{sample}_{unit}.log",
    params:
        bases=lambda wildcards: config["trim"].get(wildcards.unit[-1], config["trim"]["default"]),
    threads: 2
    shell:
        "(awk 'NR % 2 == 0 {{ print substr($0, {params.bases} + 1); next }} {{ print }}' {input} > {output};"
        " echo trimmed {wildcards.sample} with {threads} threads >&2) 2> {log}"
