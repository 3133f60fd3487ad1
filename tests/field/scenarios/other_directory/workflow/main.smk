# The working directory is given on the command line; the workflow lies beside it.
configfile: "config.yaml"


rule all:
    input:
        "out/a.txt",
        "out/b.txt",


rule direct:
    input:
        "data/in.txt",
    output:
        "out/a.txt",
    shell:
        "cat {input} > {output}; echo {config[word]} >> {output}"


rule by_script:
    input:
        "out/a.txt",
    output:
        "out/b.txt",
    params:
        basedir=lambda wildcards: os.path.basename(workflow.basedir),
    script:
        "scripts/copy.py"
