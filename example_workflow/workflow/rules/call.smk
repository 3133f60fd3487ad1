rule call:
    """Call the variants of one sample in one region (0-based, half-open)."""
    input:
        bam="results/aligned/{sample}/sorted.bam",
        index="results/aligned/{sample}/sorted.bam.bai",
        genome="results/genome/genome.fa",
        genome_index="results/genome/genome.fa.fai",
        script="workflow/scripts/call.py",
    output:
        "results/calls/{sample}/{start}-{end}.tsv",
    log:
        "logs/call/{sample}/{start}-{end}.log",
    params:
        min_depth=config["calling"]["min_depth"],
        min_fraction=config["calling"]["min_fraction"],
        min_base_quality=config["calling"]["min_base_quality"],
        min_mapping_quality=config["calling"]["min_mapping_quality"],
        end_margin=config["calling"]["end_margin"],
    container:
        config["container"]
    shell:
        "python {input.script} --bam {input.bam} --genome {input.genome} --sample {wildcards.sample}"
        " --start {wildcards.start} --end {wildcards.end}"
        " --min-depth {params.min_depth} --min-fraction {params.min_fraction}"
        " --min-base-quality {params.min_base_quality}"
        " --min-mapping-quality {params.min_mapping_quality}"
        " --end-margin {params.end_margin} --output {output} > {log} 2>&1"


rule merge_calls:
    """Put the calls of all samples and regions into one table."""
    input:
        calls=called_regions,
        script="workflow/scripts/merge_calls.py",
    output:
        "results/variants.tsv",
    log:
        "logs/merge_calls.log",
    container:
        config["container"]
    shell:
        "python {input.script} --output {output} {input.calls} > {log} 2>&1"


rule summary:
    """Show samples, coverage and variants on one HTML page with a figure.

    The script uses nothing but Snakemake's own dependencies (Jinja2), so this rule has no image of
    its own and runs in Snakemake's, which can also measure for the benchmark.
    """
    input:
        variants="results/variants.tsv",
        samples="results/selection/samples.tsv",
        coverage=expand("results/coverage/{sample}/windows.tsv", sample=SAMPLES),
        template="workflow/templates/summary.html.j2",
    output:
        "results/summary.html",
    log:
        "logs/summary.log",
    benchmark:
        "benchmarks/summary.tsv"
    params:
        min_window_depth=config["selection"]["min_window_depth"],
    script:
        "../scripts/summary.py"
