# The workflow lies beside the working directory; its commands name what lies in it, call programs
# that it adds to PATH, and import modules from a folder that it adds to PYTHONPATH.
import os
from pathlib import Path

SCRIPTS = os.path.join(workflow.basedir, "scripts")
ROOT = Path(workflow.basedir).parent
config["adapters"] = f"{workflow.basedir}/resources/adapters.txt"
os.environ["PATH"] = os.path.join(workflow.basedir, "bin") + ":" + os.environ["PATH"]
os.environ["PYTHONPATH"] = os.path.join(workflow.basedir, "lib")
os.environ["PYTHONHASHSEED"] = "7"
os.environ["FIELD_PLACES"] = f"{Path.cwd()}:{ROOT}/tools"


rule all:
    input:
        expand("out/{name}.txt", name=["named", "called", "hashed", "places", "scripted"]),


rule named:
    input:
        "data/in.txt",
    output:
        "out/named.txt",
    params:
        last=f"{workflow.basedir}/resources/last.txt",
    shell:
        "python {SCRIPTS}/show.py {input} {config[adapters]} > {output};"
        " sh {ROOT}/tools/more.sh >> {output};"
        " cat {workflow.basedir}/resources/first.txt {params.last} >> {output}"


rule called:
    output:
        "out/called.txt",
    shell:
        "field-tool > {output}; python -c 'import field_module; print(field_module.X)' >> {output}"


rule hashed:
    output:
        "out/hashed.txt",
    shell:
        "python -c 'print(hash(\"abc\"))' > {output}"


rule places:
    output:
        "out/places.txt",
    shell:
        """
        test -d "${{FIELD_PLACES%%:*}}/out"
        sh "${{FIELD_PLACES##*:}}/more.sh" > {output}
        """


rule scripted:
    output:
        "out/scripted.txt",
    script:
        "scripts/scripted.py"
