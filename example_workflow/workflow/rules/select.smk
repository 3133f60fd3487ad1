rule coverage:
    """Average the depth of one sample over windows of the genome."""
    input:
        bam="results/aligned/{sample}/sorted.bam",
        index="results/aligned/{sample}/sorted.bam.bai",
        script="workflow/scripts/coverage.py",
    output:
        "results/coverage/{sample}/windows.tsv",
    log:
        "logs/coverage/{sample}.log",
    params:
        window=config["selection"]["window"],
        min_mapping_quality=config["calling"]["min_mapping_quality"],
    container:
        config["container"]
    shell:
        "python {input.script} --bam {input.bam} --window {params.window}"
        " --min-mapping-quality {params.min_mapping_quality} --output {output} > {log} 2>&1"


checkpoint select_regions:
    """Decide by coverage which samples go on, and with which regions of the genome.

    How many calling jobs follow is known only now: a failed library gives none, and a deletion
    leaves a gap between regions.
    """
    input:
        coverage=expand("results/coverage/{sample}/windows.tsv", sample=SAMPLES),
        script="workflow/scripts/select_regions.py",
    output:
        samples="results/selection/samples.tsv",
        regions="results/selection/regions.tsv",
    log:
        "logs/select_regions.log",
    params:
        min_sample_depth=config["selection"]["min_sample_depth"],
        min_window_depth=config["selection"]["min_window_depth"],
        max_region=config["selection"]["max_region"],
    container:
        config["container"]
    shell:
        "python {input.script} --coverage {input.coverage}"
        " --min-sample-depth {params.min_sample_depth} --min-window-depth {params.min_window_depth}"
        " --max-region {params.max_region}"
        " --samples {output.samples} --regions {output.regions} > {log} 2>&1"
