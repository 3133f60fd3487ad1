# Each shell rule names its script among its inputs: so the script reaches the job wherever the job
# runs, and the job runs again when the script changes.


rule prepare_genome:
    """Unpack the genome under its plain accession and index it."""
    input:
        genome=config["genome"],
        script="workflow/scripts/prepare_genome.py",
    output:
        fasta="results/genome/genome.fa",
        index="results/genome/genome.fa.fai",
    log:
        "logs/prepare_genome.log",
    container:
        config["container"]
    shell:
        "python {input.script} --genome {input.genome} --output {output.fasta} > {log} 2>&1"


rule align:
    """Align the reads of one sample to the genome (mappy, short-read preset)."""
    input:
        reads=reads_of,
        genome="results/genome/genome.fa",
        script="workflow/scripts/align.py",
    output:
        temp("results/aligned/{sample}/unsorted.bam"),
    log:
        "logs/align/{sample}.log",
    container:
        config["container"]
    threads: 2
    resources:
        mem_mb=1500,
        runtime=15,
    shell:
        "python {input.script} --reads {input.reads} --genome {input.genome} --sample {wildcards.sample}"
        " --threads {threads} --output {output} > {log} 2>&1"


rule sort:
    """Sort and index the alignments of one sample."""
    input:
        bam="results/aligned/{sample}/unsorted.bam",
        script="workflow/scripts/sort.py",
    output:
        bam="results/aligned/{sample}/sorted.bam",
        index="results/aligned/{sample}/sorted.bam.bai",
    log:
        "logs/sort/{sample}.log",
    container:
        config["container"]
    shell:
        "python {input.script} --bam {input.bam} --output {output.bam} > {log} 2>&1"
