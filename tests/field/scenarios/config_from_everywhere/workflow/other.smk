# Configuration from the Snakefile, from files and from the command line, in a Snakefile of another name.
configfile: "config/default.yaml"


rule all:
    input:
        "out/shell.txt",
        "out/run.txt",
        "out/script.txt",


rule by_shell:
    output:
        "out/shell.txt",
    shell:
        "echo {config[a]} {config[nested][x]:q} {config[nested][y]} {config[words]:q} > {output}"


rule by_run:
    output:
        "out/run.txt",
    run:
        with open(output[0], "w") as out:
            print(sorted(config.items()), file=out)


rule by_script:
    output:
        "out/script.txt",
    script:
        "../scripts/write.py"
