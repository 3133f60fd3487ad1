# Each rule is one way of writing that Snakemake's documentation knows, and has the name of it. Its
# result is out/<name>/a, and is to be the same wherever it is made. Nothing of a path may get into
# it, since in storage mode paths are others. What makes something for others has a name with "make".

import functools
import hashlib
import queue
from pathlib import Path

FILES = ["in/a.txt", "in/b.txt"]
NAMED = {"second": "in/b.txt", "first": "in/a.txt"}
TABLE = {"file": "in/b.txt", "of": {"a": "in/a.txt"}, "number": 7, "wanted": True}

arrivals = queue.Queue()
END = object()
for arrival in [*FILES, END]:
    arrivals.put(arrival)


def by_wildcard(wildcards):
    return f"in/{wildcards.x}.txt"


def dictionary(wildcards):
    return {"second": "in/b.txt", "first": [f"in/{wildcards.x}.txt", "in/c.txt"]}


def several(wildcards):
    yield from FILES


class Chooser:
    def __call__(self, wildcards):
        return "in/c.txt"

    def method(self, wildcards):
        return "in/b.txt"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


rule make_named:
    output: "made/{x}.first", named="made/{x}.second"
    log: "made/{x}.log"
    shell: "for file in {output} {log}; do echo made as $(basename $file) > $file; done"

rule make_list:
    output: "made/list_0", x=["made/list_1", "made/list_2"]
    shell: "for file in {output}; do echo made as $(basename $file) > $file; done"


# ------------------------------------------------------------------------------------------ inputs

rule input_string:
    input: "in/a.txt"
    output: "out/input_string/a"
    shell: "cat {input} > {output}"

rule input_f_string:
    input: f"in/{'b'}.txt"
    output: "out/input_f_string/a"
    shell: "cat {input} > {output}"

rule input_pathlib:
    input: Path("in") / "a.txt"
    output: "out/input_pathlib/a"
    shell: "cat {input} > {output}"

rule input_list:
    input: FILES
    output: "out/input_list/a"
    shell: "cat {input} > {output}"

rule input_nested_lists:
    input: ["in/c.txt", ["in/b.txt", ("in/a.txt", Path("in/b.txt"))]]
    output: "out/input_nested_lists/a"
    shell: "cat {input} > {output}"

rule input_generator:
    input: (f"in/{x}.txt" for x in "cab")
    output: "out/input_generator/a"
    shell: "cat {input} > {output}"

rule input_named:
    input: "in/c.txt", y="in/a.txt", x="in/b.txt"
    output: "out/input_named/a"
    shell: "cat {input.x} {input.y} {input[0]} > {output}"

rule input_named_list:
    input: x=FILES, y=["in/c.txt"], z=[]
    output: "out/input_named_list/a"
    shell: "cat {input.y} {input.x[1]} {input.z} {input.x} > {output}"

rule input_stars:
    input: *FILES, **NAMED
    output: "out/input_stars/a"
    shell: "cat {input.first} {input.second} {input[0]} > {output}"

rule input_wildcard:
    input: "in/{x}.txt"
    output: "out/input_wildcard/{x}"
    shell: "cat {input} > {output}"

rule input_expand:
    input: expand("in/{n}.{e}", n=["a", "b"], e=["txt", "tsv"])
    output: "out/input_expand/a"
    shell: "cat {input} > {output}"

rule input_expand_zip:
    input: expand(["in/{n}.{e}", "in/{n}.txt"], zip, n=["a", "b"], e=["txt", "tsv"])
    output: "out/input_expand_zip/a"
    shell: "cat {input} > {output}"

rule input_expand_masked:
    input: expand("in/{{x}}.{e}", e=["txt", "tsv"])
    output: "out/input_expand_masked/{x}"
    shell: "cat {input} > {output}"

rule input_expand_allow_missing:
    input: expand("in/{x}.{e}", e=["txt", "tsv"], allow_missing=True)
    output: "out/input_expand_allow_missing/{x}"
    shell: "cat {input} > {output}"

rule input_expand_function:
    input: expand("in/{n}.{e}", n=lambda w: ["b", w.x], e="txt")
    output: "out/input_expand_function/{x}"
    shell: "cat {input} > {output}"

rule input_collect:
    input: collect("in/{n}.txt", n=lookup("list", within={"list": ["a", "c"]}))
    output: "out/input_collect/a"
    shell: "cat {input} > {output}"

rule input_multiext:
    input: multiext("in/b", ".txt", ".tsv")
    output: "out/input_multiext/a"
    shell: "cat {input[1]} {input} > {output}"

rule input_multiext_named:
    input: multiext("in/b", text=".txt", table=".tsv"), other="in/a.txt"
    output: "out/input_multiext_named/a"
    shell: "cat {input.table} {input.text} {input.other} > {output}"

rule input_flatten:
    input: flatten(["in/a.txt", ["in/b.txt", ["in/c.txt"]]])
    output: "out/input_flatten/a"
    shell: "cat {input} > {output}"

rule input_function:
    input: by_wildcard
    output: "out/input_function/{x}"
    shell: "cat {input} > {output}"

rule input_function_named:
    input: x=by_wildcard, y=several
    output: "out/input_function_named/{x}"
    shell: "cat {input.y} {input.x} > {output}"

rule input_function_of_paths:
    input: lambda w: [Path("in/b.txt"), Path(f"in/{w.x}.txt")]
    output: "out/input_function_of_paths/{x}"
    shell: "cat {input} > {output}"

rule input_function_with_wildcard:
    input: lambda w: "in/{x}.txt"
    output: "out/input_function_with_wildcard/{x}"
    shell: "cat {input} > {output}"

rule input_function_of_function:
    input: lambda w: by_wildcard
    output: "out/input_function_of_function/{x}"
    shell: "cat {input} > {output}"

rule input_function_of_nothing:
    input: lambda w: [], x="in/a.txt"
    output: "out/input_function_of_nothing/{x}"
    shell: "cat {input} > {output}"

rule input_partial_function:
    input: functools.partial(lambda wildcards, end: f"in/b.{end}", end="txt")
    output: "out/input_partial_function/a"
    shell: "cat {input} > {output}"

rule input_method:
    input: Chooser().method
    output: "out/input_method/a"
    shell: "cat {input} > {output}"

rule input_callable_object:
    input: Chooser()
    output: "out/input_callable_object/a"
    shell: "cat {input} > {output}"

rule input_unpack:
    input: unpack(dictionary)
    output: "out/input_unpack/{x}"
    shell: "cat {input.second} {input.first} > {output}"

rule input_unpack_list:
    input: unpack(lambda w: ["in/c.txt", by_wildcard(w)]), z="in/b.txt"
    output: "out/input_unpack_list/{x}"
    shell: "cat {input.z} {input} > {output}"

rule input_unpack_beside_others:
    input: "in/a.txt", unpack(dictionary), z="in/b.txt"
    output: "out/input_unpack_beside_others/{x}"
    shell: "cat {input[0]} {input.z} {input.first[1]} {input.second} > {output}"

rule input_unpack_in_script:
    input: unpack(dictionary)
    output: "out/input_unpack_in_script/{x}"
    script: "scripts/unpacked.py"

rule input_ancient:
    input: ancient("in/a.txt")
    output: "out/input_ancient/a"
    shell: "cat {input} > {output}"

rule input_ancient_list:
    input: x=ancient(["in/b.txt", "in/a.txt"])
    output: "out/input_ancient_list/a"
    shell: "cat {input.x} > {output}"

rule input_ancient_function:
    input: ancient(by_wildcard)
    output: "out/input_ancient_function/{x}"
    shell: "cat {input} > {output}"

rule input_ancient_unpack:
    input: ancient(unpack(dictionary))
    output: "out/input_ancient_unpack/{x}"
    shell: "cat {input.first} {input.second} > {output}"

rule input_local:
    input: local("here/h.txt")
    output: "out/input_local/a"
    shell: "cat {input} > {output}"

rule input_local_function:
    input: local(lambda w: "here/h.txt")
    output: "out/input_local_function/a"
    shell: "cat {input} > {output}"

rule input_temp_function:
    input: temp(lambda w: f"made/{w.x}.temp_by_function")
    output: "out/input_temp_function/{x}"
    shell: "cat {input} > {output}"

rule make_temp_by_function:
    output: temp("made/{x}.temp_by_function")
    shell: "echo temporary > {output}"

rule input_access_patterns:
    input: access.sequential("in/a.txt"), access.random(["in/b.txt"]), access.multi(by_wildcard)
    output: "out/input_access_patterns/{x}"
    shell: "cat {input} > {output}"

rule input_branch:
    input: branch(lambda w: w.x == "a", then="in/b.txt", otherwise="in/c.txt")
    output: "out/input_branch/{x}"
    shell: "cat {input} > {output}"

rule input_branch_of_functions:
    input: branch(TABLE["wanted"], then=by_wildcard, otherwise="in/c.txt")
    output: "out/input_branch_of_functions/{x}"
    shell: "cat {input} > {output}"

rule input_branch_cases:
    input: branch(lambda w: w.x, cases={"a": "in/c.txt", "b": by_wildcard})
    output: "out/input_branch_cases/{x}"
    shell: "cat {input} > {output}"

rule input_lookup:
    input: lookup(dpath="file", within=TABLE)
    output: "out/input_lookup/a"
    shell: "cat {input} > {output}"

rule input_lookup_by_wildcard:
    input: lookup(dpath="of/{x}", within=TABLE)
    output: "out/input_lookup_by_wildcard/{x}"
    shell: "cat {input} > {output}"

rule input_evaluate:
    input: branch(evaluate("{x} == 'a'"), then="in/b.txt", otherwise="in/c.txt")
    output: "out/input_evaluate/{x}"
    shell: "cat {input} > {output}"

rule input_exists:
    input: "in/a.txt" if exists("in/a.txt") else "in/b.txt", branch(exists("in/no.txt"), then="in/b.txt", otherwise="in/c.txt")
    output: "out/input_exists/a"
    shell: "cat {input} > {output}"

rule input_from_queue:
    input: from_queue(arrivals, finish_sentinel=END)
    output: "out/input_from_queue/a"
    shell: "cat {input} > {output}"

rule input_rule_output:
    input: rules.make_list.output, x=rules.make_list.output.x
    output: "out/input_rule_output/a"
    shell: "cat {input} > {output}"

rule input_rule_output_named:
    input: x=rules.make_named.output.named, y=rules.make_named.output[0]
    output: "out/input_rule_output_named/{x}"
    shell: "cat {input.y} {input.x} > {output}"

rule input_rule_input:
    input: rules.input_multiext_named.input.table, rules.input_unpack_beside_others.input[0]
    output: "out/input_rule_input/a"
    shell: "cat {input} > {output}"

rule input_rule_log:
    input: rules.make_named.log
    output: "out/input_rule_log/{x}"
    shell: "cat {input} > {output}"

rule input_checkpoint:
    input: lambda w: sorted(f"made/parts/{n}" for n in Path(checkpoints.make_parts.get().output[0]).read_text().split())
    output: "out/input_checkpoint/a"
    shell: "cat {input} > {output}"

checkpoint make_parts:
    output: "made/list"
    shell: "echo one two > {output}"

rule make_part:
    output: "made/parts/{n}"
    shell: "echo {wildcards.n} > {output}"

rule input_before_update:
    input: before_update("in/updated.txt")
    output: "out/input_before_update/a"
    shell: "cat {input} > {output}"

rule input_directory:
    input: "in/folder"
    output: "out/input_directory/a"
    shell: "cat {input}/f {input}/deep/g > {output}"

rule input_source_path:
    input: workflow.source_path("beside.txt")
    output: "out/input_source_path/a"
    shell: "cat {input} > {output}"

rule input_subpath:
    input: subpath("in/a.txt.more", strip_suffix=".more"), subpath("in/b.txt/x", parent=True), subpath(by_wildcard, strip_suffix=".txt", with_suffix=".tsv")
    output: "out/input_subpath/{x}"
    shell: "cat {input} > {output}"

rule input_storage:
    input: storage.cavatica(f"{config['prefix']}/stored.txt")
    output: "out/input_storage/a"
    shell: "cat {input} > {output}"

rule input_storage_wildcard:
    input: x=storage.cavatica(f"{config['prefix']}/{{x}}.stored.txt", keep_local=True)
    output: "out/input_storage_wildcard/{x}"
    shell: "cat {input.x} > {output}"

rule input_storage_address:
    input: storage.cavatica(f"{config['prefix']}/stored.txt", retrieve=False)
    output: "out/input_storage_address/a"
    shell: "case {input} in cavatica://*/stored.txt) echo an address;; esac > {output}"

rule input_storage_address_of_function:
    input: x=lambda w: storage.cavatica(f"{config['prefix']}/{w.x}.stored.txt", retrieve=False)
    output: "out/input_storage_address_of_function/{x}"
    params: lambda w, input: input.x
    shell: "case {input} in cavatica://*/a.stored.txt) echo an address;; esac > {output}; test {params} = {input.x}"

rule input_storage_function:
    input: lambda w: storage.cavatica(f"{config['prefix']}/{w.x}.stored.txt")
    output: "out/input_storage_function/{x}"
    shell: "cat {input} > {output}"


# ----------------------------------------------------------------------------------------- outputs

rule output_list:
    output: ["out/output_list/a", ["made/output_list", [Path("made/output_list_too")]]]
    shell: "for file in {output}; do echo listed > $file; done"

rule output_pathlib:
    output: Path("out/output_pathlib/{x}")
    shell: "echo by {wildcards.x} > {output}"

rule output_named:
    output: "out/output_named/{x}", y="made/{x}.output_named", z=["made/{x}.output_named_1", "made/{x}.output_named_2"]
    shell: "echo named > {output.z[1]}; cp {output.z[1]} {output.y}; cat {output.y} > {output[0]}; touch {output.z[0]}"

rule output_constrained:
    output: "out/output_constrained/{x,[a-z]+}"
    log: "made/{x}.output_constrained.log"
    shell: "echo {wildcards.x} | tee {log} > {output}"

rule output_constraints_of_the_rule:
    output: "out/output_constraints_of_the_rule/{x}"
    wildcard_constraints: x="[a-c]"
    shell: "echo {wildcards.x} > {output}"

rule output_expand:
    output: expand("out/output_expand/{n}", n=["a", "b"])
    shell: "for file in {output}; do echo expanded > $file; done"

rule output_multiext:
    input: rules.make_list.output[0], multiext("made/multi", ".1", ".2")
    output: "out/output_multiext/a"
    shell: "cat {input[2]} {input[1]} > {output}"

rule make_multiext:
    output: multiext("made/multi", ".1", ".2")
    shell: "echo one > {output[0]}; echo two > {output[1]}"

rule output_multiext_named:
    input: x="made/multi_named.2"
    output: "out/output_multiext_named/a"
    shell: "cat {input.x} > {output}"

rule make_multiext_named:
    output: multiext("made/multi_named", first=".1", second=".2"), other="made/multi_named_other"
    shell: "echo one > {output.first}; echo two > {output.second}; touch {output.other}"

rule output_temp:
    input: "made/temp", "made/temp_folder", "made/temp_touched", "made/temp_1", "made/temp_2"
    output: "out/output_temp/a"
    shell: "cat {input[0]} {input[1]}/inside {input[2]} {input[3]} > {output}"

rule make_temp:
    output: temp("made/temp"), temp(directory("made/temp_folder")), temp(touch("made/temp_touched")), temporary(["made/temp_1", "made/temp_2"])
    shell: "mkdir {output[1]}; for file in {output[1]}/inside {output[0]} {output[3]} {output[4]}; do echo temporary > $file; done"

rule output_temp_with_its_user:
    input: "made/with_its_user"
    output: "out/output_temp_with_its_user/a"
    shell: "cat {input} > {output}"

rule make_temp_with_its_user:
    output: temp("made/with_its_user", group_jobs=True)
    shell: "echo together > {output}"

rule output_protected:
    output: protected("out/output_protected/a")
    shell: "echo protected > {output}"

rule output_protected_ensured:
    output: protected(ensure("out/output_protected_ensured/a", non_empty=True))
    shell: "echo protected and ensured > {output}"

rule output_directory:
    input: "made/folder"
    output: "out/output_directory/a"
    shell: "cat {input}/one {input}/deep/two > {output}"

rule make_directory:
    output: directory("made/folder")
    shell: "mkdir -p {output}/deep; echo one > {output}/one; echo two > {output}/deep/two"

rule output_touch:
    output: touch("out/output_touch/a")
    shell: "true"

rule output_touch_report:
    output: report(touch("out/output_touch_report/a"))
    shell: "true"

rule output_ensure:
    output: ensure("out/output_ensure/a", non_empty=True)
    shell: "echo ensured > {output}"

rule output_ensure_checksum:
    output: ensure("out/output_ensure_checksum/a", sha256=sha256("ensured\n"))
    shell: "echo ensured > {output}"

rule output_ensure_checksum_of_function:
    output: ensure("out/output_ensure_checksum_of_function/{x}", sha256=lambda w: sha256(f"{w.x}\n"))
    shell: "echo {wildcards.x} > {output}"

rule output_update:
    output: update("out/output_update/a")
    shell: "echo more >> {output}"

rule output_pipe:
    input: "made/{x}.pipe"
    output: "out/output_pipe/{x}"
    shell: "cat {input} > {output}"

rule make_pipe:
    output: pipe("made/{x}.pipe")
    shell: "echo through a pipe > {output}"

rule output_service:
    input: "made/service"
    output: "out/output_service/a"
    shell: "cat {input} > {output}"

rule make_service:
    output: service("made/service")
    shell: "echo served > {output}; sleep 60"

rule output_report:
    output: report("out/output_report/{x}", caption="caption.rst", category="{x}", labels={"x": "{x}"})
    shell: "echo reported > {output}"

rule output_report_directory:
    input: "made/reported"
    output: "out/output_report_directory/a"
    shell: "cat {input}/one.txt > {output}"

rule make_report_directory:
    output: report(directory("made/reported"), patterns=["{name}.txt"], caption="caption.rst")
    shell: "mkdir {output}; echo one > {output}/one.txt"

rule output_local:
    output: "out/output_local/a"
    input: local("here/made.txt")
    shell: "cat {input} > {output}"

rule make_local:
    output: local("here/made.txt")
    shell: "echo made here > {output}"

rule output_storage:
    input: storage.cavatica(f"{config['prefix']}/made.txt")
    output: "out/output_storage/a"
    shell: "cat {input} > {output}"

rule make_storage:
    output: storage.cavatica(f"{config['prefix']}/made.txt")
    shell: "echo stored > {output}"

rule output_access_pattern:
    output: access.sequential("out/output_access_pattern/a")
    shell: "echo written > {output}"

rule output_shadowed:
    input: "in/a.txt"
    output: "out/output_shadowed/a"
    shadow: "minimal"
    shell: "cat {input} > {output}; touch left-over"

rule output_logs:
    output: "out/output_logs/{x}"
    log: "made/{x}.log_0", [["made/{x}.log_1"], Path("made/{x}.log_2")], err="made/{x}.log_3"
    shell: "for file in {log}; do echo logged > $file; done; cat {log.err} {log[2]} > {output}"

rule output_logs_multiext:
    output: "out/output_logs_multiext/{x}"
    log: multiext("made/{x}.logged", ".out", ".err")
    shell: "echo logged | tee {log[0]} {log[1]} > {output}"

rule output_benchmark_repeated:
    output: "out/output_benchmark_repeated/{x}"
    benchmark: repeat("made/{x}.benchmark.jsonl", 2)
    shell: "echo measured >> {output}"

scattergather: split=2

rule output_scattered:
    input: gather.split("made/scattered/{scatteritem}")
    output: "out/output_scattered/a"
    shell: "cat {input} > {output}"

rule make_scattered:
    output: scatter.split("made/scattered/{scatteritem}")
    shell: "for file in {output}; do echo part > $file; done"


# ------------------------------------------------------------------------------------------ params

rule params_plain:
    params: "first", 2, 0.5, none=None, yes=True, text="it's {x}"
    output: "out/params_plain/{x}"
    shell: "echo {params[0]} {params[1]} {params[2]} {params.none} {params.yes} {params.text:q} > {output}"

rule params_lists:
    params: ["a", "b"], x=["{x}", 1], nested=[["a", ["b"]], "c"], empty=[]
    output: "out/params_lists/{x}"
    shell: "echo {params[0]} {params.x} {params.nested[1]} {params.empty} > {output}"

rule params_dictionaries:
    params: d={"key": {"deep": 1}}, s={1}, t=(1, 2)
    output: "out/params_dictionaries/a"
    shell: "echo {params.d[key][deep]} {params.s} {params.t} > {output}"

rule params_stars:
    params: *["a", "b"], **{"x": 1, "y": "{x}"}
    output: "out/params_stars/{x}"
    shell: "echo {params} {params.y} > {output}"

rule params_function:
    params: lambda w: w.x * 2, y=lambda wildcards: {"key": [wildcards.x]}
    output: "out/params_function/{x}"
    shell: "echo {params[0]} {params.y[key][0]} > {output}"

rule params_function_of_function:
    params: lambda w: lambda wildcards: wildcards.x * 3
    output: "out/params_function_of_function/{x}"
    shell: "echo {params} > {output}"

rule params_function_of_the_job:
    input: "in/a.txt", y="in/b.txt"
    output: "out/params_function_of_the_job/{x}"
    threads: 2
    resources: n=3
    params:
        i=lambda w, input: [Path(name).name for name in input],
        o=lambda w, output: Path(output[0]).name,
        t=lambda wildcards, threads: threads,
        r=lambda wildcards, resources, output: resources.n + len(output),
    shell: "echo {params.i} {params.o} {params.t} {params.r} > {output}"

rule params_with_a_path:
    input: "in/a.txt", y="in/b.txt"
    output: "out/params_with_a_path/{x}"
    params: first=lambda w, input: input[0], y=input.y, target=lambda w, output: output[0]
    shell: "cat {params.y} {params.first} > {params.target}"

rule params_expand_function:
    params: x=expand("{n}-{m}", n=lambda w: ["p", w.x], m=[1, 2])
    output: "out/params_expand_function/{x}"
    shell: "echo {params.x} > {output}"

rule params_lookup_branch_evaluate:
    params: lookup("number", within=TABLE), branch(evaluate("{x} == 'a'"), then="yes", otherwise="no"), evaluate("{x} * 2"), lookup("none", within=TABLE, default="fallback")
    output: "out/params_lookup_branch_evaluate/{x}"
    shell: "echo {params} > {output}"

rule params_subpath:
    input: y="in/a.txt"
    output: z="out/params_subpath/a"
    params: subpath("in/a.txt", basename=True), subpath(input.y, basename=True), n=subpath(output.z, basename=True), s=subpath(input[0], strip_suffix=".txt", basename=True)
    shell: "echo {params} {params.n} > {output}"

rule params_of_rule_items:
    input: "in/a.txt"
    output: "out/params_of_rule_items/a"
    threads: 2
    resources: n=5
    params: n=resources.n, t=threads
    shell: "echo {params.n} {params.t} > {output}"

rule params_prepend:
    input: x=FILES
    output: "out/params_prepend/a"
    params: prepend_param("", input.x), prepend_param("-o", ["p", "q"], space=False)
    shell: "cat {params[0]} > {output}; echo {params[1]} >> {output}"

rule params_parse_input:
    input: x="in/a.txt"
    output: "out/params_parse_input/a"
    params: parse_input(input.x, parser=lambda file, end: file.read().strip() + end, end="!")
    shell: "echo {params} > {output}"

rule params_as_py_module:
    output: "out/params_as_py_module/{x}"
    params: module=as_py_module("some/tool.py"), of_function=as_py_module(lambda w: f"some/{w.x}.py")
    shell: "echo {params} > {output}"

rule params_of_another_rule:
    params: rules.params_dictionaries.params.d["key"]["deep"], rules.params_plain.params.text
    output: "out/params_of_another_rule/{x}"
    shell: "echo {params:q} > {output}"

rule params_in_script:
    params: "first", path=Path("some/path"), d={"key": [1, None]}, x=lambda w: w.x
    output: "out/params_in_script/{x}"
    script: "scripts/params.py"


# --------------------------------------------------------------------------------------- resources

rule resources_plain:
    output: "out/resources_plain/a"
    resources: n=3, text="a word", none=None, mem_mb=300, disk_mb=500, runtime=7
    shell: "echo {resources.n} {resources.text} {resources.mem_mb} {resources.disk_mb} {resources.runtime} > {output}"

rule resources_with_units:
    output: "out/resources_with_units/a"
    resources: mem="1.5GB", disk="2GiB", runtime="1.5h"
    shell: "echo {resources.mem_mb} {resources.disk_mb} {resources.runtime} {resources.mem} > {output}"

rule resources_function:
    input: "in/a.txt"
    output: "out/resources_function/{x}"
    resources: n=lambda w: len(w.x), mem_mb=lambda wildcards, input: 100 + len(input), disk_mb=lambda w, input: max(input.size_mb, 200), runtime=lambda w, attempt: attempt * 5
    shell: "echo {resources.n} {resources.mem_mb} {resources.disk_mb} {resources.runtime} > {output}"

rule resources_function_of_threads:
    output: "out/resources_function_of_threads/a"
    threads: 2
    resources: mem_mb=lambda w, threads: threads * 150
    shell: "echo {resources.mem_mb} > {output}"

rule resources_function_with_units:
    output: "out/resources_function_with_units/a"
    resources: mem=lambda w: "1GB", runtime=lambda w: "2h", none=lambda w: None
    shell: "echo {resources.mem_mb} {resources.runtime} > {output}"

rule resources_function_of_attempts:
    output: "out/resources_function_of_attempts/a"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "[ {resources.mem_mb} -ge 200 ] && echo {resources.mem_mb} > {output}"

rule resources_helpers:
    output: "out/resources_helpers/{x}"
    resources: n=lookup("number", within=TABLE), mem_mb=branch(lambda w: w.x == "a", then=400, otherwise=500), m=evaluate("len({x}) + 1")
    shell: "echo {resources.n} {resources.mem_mb} {resources.m} > {output}"

rule resources_tmpdir:
    output: "out/resources_tmpdir/a"
    shell: 'test -d {resources.tmpdir} && test "$TMPDIR" = {resources.tmpdir} && echo there > {output}'

rule resources_in_script:
    output: "out/resources_in_script/{x}"
    threads: lambda w: 2
    resources: n=lambda w: len(w.x) + 3, text="word", mem="1GB"
    script: "scripts/resources.py"

rule all_in_run:
    input: "in/c.txt", unpack(dictionary)
    output: "out/all_in_run/{x}", other=touch("made/{x}.all_in_run")
    params: "first", d={"key": [1, None]}, x=lambda w: w.x, i=input.first
    threads: lambda w: 2
    resources: n=lambda w: len(w.x) + 3, text="word", mem="1GB"
    run:
        found = [Path(name).read_text() for name in (input[0], *input.first, input.second, params.i[0])]
        found += [params[0], params.d, params.x, resources.n, resources.text, resources.mem_mb, threads]
        Path(output[0]).write_text(f"{found}")

rule threads_number:
    output: "out/threads_number/a"
    threads: 2
    shell: "echo {threads} > {output}"

rule threads_fraction:
    output: "out/threads_fraction/a"
    threads: 2.9
    shell: "echo {threads} > {output}"

rule threads_function:
    output: "out/threads_function/{x}"
    threads: lambda wildcards: len(wildcards.x) + 1
    shell: "echo {threads} > {output}"

rule threads_function_of_input:
    input: FILES
    output: "out/threads_function_of_input/{x}"
    threads: lambda w, input, attempt: len(input) * attempt
    shell: "echo {threads} > {output}"

rule priority_function:
    output: "out/priority_function/{x}"
    priority: lambda wildcards: 5
    shell: "echo important > {output}"

rule group_function:
    output: "out/group_function/{x}"
    group: lambda wildcards: f"group_{wildcards.x}"
    shell: "echo grouped > {output}"


# --------------------------------------------------------------------------------- rules of another

use rule input_unpack as inherited_rule with:
    output: "out/inherited_rule/{x}"

use rule resources_function as inherited_rule_changed with:
    input: unpack(dictionary)
    output: "out/inherited_rule_changed/{x}"

inputflags: access.sequential

rule flags_of_all_inputs:
    input: "in/c.txt", by_wildcard, unpack(dictionary)
    output: "out/flags_of_all_inputs/{x}"
    shell: "cat {input} > {output}"

outputflags: report

rule flags_of_all_outputs:
    output: "out/flags_of_all_outputs/a"
    shell: "echo flagged > {output}"
