"""What is decided for a job from plain values."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import DEFAULTS, facts, local, plan

from snakemake_executor_cavatica.api import ConfigurationError
from snakemake_executor_cavatica.plan.decide import plan_job
from snakemake_executor_cavatica.plan.files import links_for_size
from snakemake_executor_cavatica.plan.given import RESOURCES
from snakemake_executor_cavatica.plan.instance_types import CATALOG, choose_instance
from snakemake_executor_cavatica.plan.mode import choose_mode
from snakemake_executor_cavatica.plan.plan import JobPlan, Mode
from snakemake_executor_cavatica.plan.remarks import Remarks
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read import values
from snakemake_executor_cavatica.read.facts import (
    GB,
    TBD,
    Defaults,
    Ensure,
    JobFacts,
    Language,
    Member,
    PreparedScript,
    Refusal,
    Shell,
    WorkflowFile,
)
from snakemake_executor_cavatica.settings import ExecutorSettings

MAYBE = [None, True, False]
OTHER_DIRECTIVES = ["script", "run", "notebook", "wrapper", "cwl", "template_engine", "group"]


def a_group(*jobs: JobFacts) -> dict[str, Any]:
    """What is different in the facts of a group."""
    members = [Member(job, number) for number, job in enumerate(jobs)]
    return {"directive": "group", "command": None, "members": members}


OBSTACLES: dict[str, dict[str, Any]] = {
    **{directive: {"directive": directive, "command": None} for directive in OTHER_DIRECTIVES},
    "conda": {"needs_snakemake": ["it has a conda directive"]},
    "envmodules": {"needs_snakemake": ["it has an envmodules directive"]},
    "repeated benchmark": {"benchmark": local("b"), "benchmark_repeats": 3},
    "json benchmark": {"benchmark": local("b.jsonl")},
    "late value": {"command": f"echo {TBD}"},
    "group with a run block": a_group(facts("true"), facts(None, directive="run")),
    "group with a late value": a_group(facts("true"), facts(f"echo {TBD}")),
    "group with conda": a_group(facts("true", needs_snakemake=["it has a conda directive"])),
    "group that is too large": a_group(*[facts("x" * 70_000)] * 9),
    "group that nobody can sort": a_group() | {"needs_snakemake": ["it is a group that"]},
}


def staged(path: str, place: Any, **changes: Any) -> WorkflowFile:
    return WorkflowFile(path, path, place, **changes)


# ----------------------------------------------------------------------------------------- mode


def test_a_plain_shell_rule_runs_directly() -> None:
    mode, reason = choose_mode(facts(), DEFAULTS)
    assert (mode, reason) == (
        Mode.DIRECT,
        "it is a shell command that needs nothing of Snakemake",
    )


def test_a_shell_rule_runs_directly_in_its_own_container() -> None:
    job = plan(container="docker://quay.io/x:1")
    assert (job.mode, job.image, job.command) == (Mode.DIRECT, "quay.io/x:1", "true")


SCRIPT = PreparedScript(Language.R, "s.R", "1")
A_SCRIPT: dict[str, Any] = {"command": None, "directive": "script", "script": SCRIPT}


@pytest.mark.parametrize("directive", ["script", "wrapper"])
def test_a_prepared_script_runs_directly_in_its_own_container(directive: str) -> None:
    job = plan(container="docker://r-base", **A_SCRIPT | {"directive": directive})
    assert (job.mode, job.image, job.script) == (Mode.DIRECT, "r-base", SCRIPT)
    assert job.reason == "its R script needs nothing of Snakemake"


def test_a_script_without_a_container_keeps_snakemakes_image() -> None:
    """That of shell rules need not even have the script's language."""
    job = plan(defaults={"shell_image": "tools:1"}, **A_SCRIPT)
    assert (job.mode, job.image) == (Mode.DIRECT, DEFAULTS.snakemake_image)


@pytest.mark.parametrize("shell_image", [DEFAULTS.shell_image, "tools:1"])
def test_a_script_with_a_benchmark_and_no_container_is_measured_in_full(shell_image: str) -> None:
    job = plan(defaults={"shell_image": shell_image}, benchmark=local("b"), **A_SCRIPT)
    assert (job.mode, job.script) == (Mode.SNAKEMAKE, None)
    assert plan(container="docker://x", benchmark=local("b"), **A_SCRIPT).mode is Mode.DIRECT


def test_why_a_script_could_not_be_prepared_is_said_first() -> None:
    job = plan(None, directive="script", needs_snakemake=["its script is written in julia"])
    assert (job.mode, job.reason) == (Mode.SNAKEMAKE, "its script is written in julia")


def test_a_script_that_another_kind_of_shell_is_to_start_takes_snakemake() -> None:
    job = plan(shell=Shell("/usr/bin/fish", ""), **A_SCRIPT)
    assert job.reason == "its script is to be started by /usr/bin/fish"


def test_a_script_that_is_no_text_is_refused() -> None:
    script = PreparedScript(Language.BASH, "s.sh", "echo \udc80")
    with pytest.raises(Refusal, match="not valid UTF-8"):
        plan(**A_SCRIPT | {"script": script})


def test_a_group_of_direct_jobs_runs_directly_in_their_image() -> None:
    group = a_group(facts("echo a"), facts("echo b", outputs=[local("inside")]))
    other = {"shell_image": "shell:1"}
    assert plan(**group).mode is Mode.DIRECT
    assert plan(container="docker://mine", **group).image == "mine"
    assert plan(defaults=other, **group).image == "shell:1"
    job = plan(**group)
    assert [[one.path for one in member.outputs] for member in job.members] == [[], ["inside"]]
    assert (job.shell.executable, job.outputs) == ("sh", ())


def test_scripts_and_commands_in_a_group_run_directly_only_if_they_share_an_image() -> None:
    both = a_group(facts("true"), facts(**A_SCRIPT))
    other = {"shell_image": "shell:1"}
    assert plan(**both).mode is Mode.DIRECT
    assert plan(defaults=other, container="docker://mine", **both).mode is Mode.DIRECT
    mixed = plan(defaults=other, **both)
    assert (mixed.mode, mixed.image) == (Mode.SNAKEMAKE, DEFAULTS.snakemake_image)
    with pytest.raises(Refusal, match="commands that have another image"):
        plan(defaults=other | {"mode": "direct"}, **both)


def test_benchmarks_in_a_group_are_measured_in_full_where_the_image_is_nobodys_choice() -> None:
    group = a_group(facts("true"), facts("true", benchmark=local("b")))
    assert "benchmark" in plan(**group).reason
    assert plan(container="docker://mine", **group).mode is Mode.DIRECT


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_only_snakemake_can_do_is_left_to_it(obstacle: str) -> None:
    job = plan(**OBSTACLES[obstacle])
    assert job.mode is Mode.SNAKEMAKE
    assert job.command == "python -m snakemake"
    assert job.shell.executable == "sh"
    assert job.image == DEFAULTS.snakemake_image
    assert job.reason.startswith("it")


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_no_rule_silently_leaves_its_own_container(obstacle: str) -> None:
    with pytest.raises(Refusal, match=r"^Rule align cannot run on CAVATICA: .*own container"):
        plan(container="docker://mine", **OBSTACLES[obstacle])


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_container_is_left_where_the_rule_names_another_image(obstacle: str) -> None:
    resources = {"cavatica_container_image": "with-snakemake:1"}
    job = plan(container="docker://mine", resources=resources, **OBSTACLES[obstacle])
    assert (job.mode, job.image) == (Mode.SNAKEMAKE, "with-snakemake:1")


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_snakemake_runs_in_the_rules_container_where_the_rule_says_so(obstacle: str) -> None:
    resources = {"cavatica_mode": "snakemake"}
    job = plan(container="docker://mine", resources=resources, **OBSTACLES[obstacle])
    assert (job.mode, job.image) == (Mode.SNAKEMAKE, "mine")


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_direct_mode_is_refused_by_directive(obstacle: str) -> None:
    with pytest.raises(Refusal, match=r"^Rule align .*direct mode was asked for, but it") as caught:
        plan(defaults={"mode": "direct"}, **OBSTACLES[obstacle])
    if obstacle in OTHER_DIRECTIVES:
        assert obstacle in str(caught.value)
    assert "Use mode 'auto'" in str(caught.value)


@pytest.mark.parametrize(
    ("resource", "setting", "mode"),
    [
        (None, "auto", Mode.DIRECT),
        (None, "direct", Mode.DIRECT),
        (None, "snakemake", Mode.SNAKEMAKE),
        ("auto", "snakemake", Mode.DIRECT),
        ("direct", "snakemake", Mode.DIRECT),
        ("snakemake", "direct", Mode.SNAKEMAKE),
        (TBD, "snakemake", Mode.SNAKEMAKE),
    ],
)
def test_the_rules_mode_beats_the_setting(resource: str | None, setting: str, mode: Mode) -> None:
    job = plan(resources={"cavatica_mode": resource}, defaults={"mode": setting})
    assert job.mode is mode


@pytest.mark.parametrize("wrong", ["directly", "shell", True, 1])
def test_an_unknown_mode_is_refused(wrong: object) -> None:
    with pytest.raises(Refusal, match="cavatica_mode="):
        plan(resources={"cavatica_mode": wrong})


@pytest.mark.parametrize(
    ("changes", "defaults", "mode"),
    [
        ({}, {}, Mode.SNAKEMAKE),
        ({"container": "docker://mine"}, {}, Mode.DIRECT),
        ({"resources": {"cavatica_container_image": "mine"}}, {}, Mode.DIRECT),
        ({}, {"shell_image": "tools:1"}, Mode.DIRECT),
        ({}, {"mode": "direct"}, Mode.DIRECT),
    ],
)
def test_a_benchmark_is_left_to_snakemake_only_where_the_image_is_nobodys_choice(
    changes: dict[str, Any], defaults: dict[str, Any], mode: Mode
) -> None:
    assert plan(benchmark=local("b.tsv"), defaults=defaults, **changes).mode is mode


# ---------------------------------------------------------------------------------------- image


@pytest.mark.parametrize(
    ("container", "image"),
    [
        ("docker://a/b:1", "a/b:1"),
        ("a/b:1", "a/b:1"),
        ("docker://r:5000/a@sha256:0", "r:5000/a@sha256:0"),
    ],
)
def test_containers_are_docker_images(container: str, image: str) -> None:
    assert plan(container=container).image == image
    assert plan(resources={"cavatica_container_image": container}).image == image
    assert plan(defaults={"shell_image": container}).image == image


@pytest.mark.parametrize(
    "container", ["shub://a/b", "oras://x", "/images/a.sif", "./a", "images/a.sif", "docker://"]
)
def test_other_containers_are_refused(container: str) -> None:
    with pytest.raises(Refusal, match="not a Docker image"):
        plan(container=container)


# ------------------------------------------------------------------------------------ resources


@given(st.integers(0, 10**18))
def test_memory_and_disk_are_never_less_than_asked_for(megabytes: int) -> None:
    resources = {"mem_mb": megabytes, "disk_mb": megabytes, "cavatica_instance_type": "x"}
    given_ = plan(resources=resources).resources
    for mebibytes in (given_.memory_mib, given_.disk_mib):
        assert mebibytes is not None
        assert mebibytes * 1_048_576 >= megabytes * 1_000_000
        assert (mebibytes - 1) * 1_048_576 < megabytes * 1_000_000


def test_what_is_not_asked_for_is_left_to_the_platform() -> None:
    job = plan(resources={"mem_mb": TBD, "disk_mb": None, "runtime": ""}, threads=0)
    assert dataclasses.astuple(job.resources) == (1, None, None, None)
    assert set(dataclasses.astuple(job.settings)) == {None}


@pytest.mark.parametrize("name", ["mem_mb", "disk_mb", "runtime", "gpu"])
@pytest.mark.parametrize(
    "wrong", ["4e3", "4G", -1, 1.5, float("nan"), float("inf"), True, [1], "many"]
)
def test_numbers_that_are_none_are_refused_by_name(name: str, wrong: object) -> None:
    with pytest.raises(Refusal, match=f"^Rule align .*resource {name}="):
        plan(resources={name: wrong})


def test_whole_floats_are_numbers() -> None:
    assert plan(resources={"runtime": 60.0}).resources.runtime_minutes == 60


@pytest.mark.parametrize(
    ("asked", "instance"),
    [
        ({}, None),
        ({"disk_mb": 1_024_000}, None),
        ({"disk_mb": 1_024_001}, "c5.large;ebs-gp2;1025"),
        ({"disk_mb": 2_000_000, "mem_mb": 30_000}, "r5.xlarge;ebs-gp2;2000"),
        ({"gpu": 0}, None),
        ({"gpu": 1}, "g4dn.xlarge;ebs-gp2;1024"),
        ({"gpu": 1, "disk_mb": 3_000_000}, "g4dn.xlarge;ebs-gp2;3000"),
        ({"gpu": 3}, "g4dn.12xlarge;ebs-gp2;1024"),
        ({"gpu": 8}, "p3.16xlarge;ebs-gp2;1024"),
    ],
)
def test_gpus_and_large_disks_name_the_cheapest_instance(
    asked: dict[str, int], instance: str | None
) -> None:
    assert plan(resources=asked).settings.instance_type == instance


@pytest.mark.parametrize("asked", [{"gpu": 9}, {"disk_mb": 5_000_000}])
def test_what_no_instance_has_is_refused_with_a_way_out(asked: dict[str, int]) -> None:
    with pytest.raises(Refusal, match="cavatica_instance_type"):
        plan(resources=asked)
    assert (
        plan(resources={**asked, "cavatica_instance_type": "big"}).settings.instance_type == "big"
    )


@given(st.integers(1, 96), st.integers(0, 400_000), st.integers(0, 8))
def test_a_named_instance_always_fits(cores: int, memory: int, gpus: int) -> None:
    asked: dict[str, Any] = {"cores": cores, "memory_mib": memory, "gpus": gpus}
    try:
        chosen = choose_instance(**asked, disk_mb=2_000_000)
    except ConfigurationError:
        with pytest.raises(ConfigurationError, match="No known instance type"):
            choose_instance(**asked, disk_mb=2_000_000)
        return
    assert chosen is not None
    instance = next(one for one in CATALOG if one.name == chosen.split(";")[0])
    assert instance.cores >= cores
    assert instance.memory_gib * 1024 >= memory
    assert instance.gpus >= gpus
    assert gpus or not instance.gpus


# ------------------------------------------------------------------------------------- settings


def _how_inputs(job: JobPlan) -> str:
    return job.inputs[0].method


# setting, its value, resource, its value, how both show in the plan
PRECEDENCE: list[tuple[str, Any, str, Any, Any]] = [
    ("instance_type", "a", "cavatica_instance_type", "b", lambda job: job.settings.instance_type),
    (
        "max_parallel_instances",
        2,
        "cavatica_max_parallel_instances",
        3,
        lambda job: job.settings.max_parallel_instances,
    ),
    (
        "use_memoization",
        True,
        "cavatica_use_memoization",
        False,
        lambda job: job.settings.use_memoization,
    ),
    (
        "use_elastic_disk",
        True,
        "cavatica_use_elastic_disk",
        False,
        lambda job: job.settings.use_elastic_disk,
    ),
    (
        "interruptible",
        True,
        "cavatica_interruptible",
        False,
        lambda job: job.settings.interruptible,
    ),
    ("shell_image", "a", "cavatica_container_image", "b", lambda job: job.image),
    ("inputs", "copy", "cavatica_inputs", "link", _how_inputs),
    ("mode", "direct", "cavatica_mode", "snakemake", lambda job: str(job.mode)),
    ("batch", "auto", "cavatica_batch", "off", lambda job: "auto" if job.batched else "off"),
    ("memory_retries", 2, "cavatica_memory_retries", 0, lambda job: job.memory_retries),
    ("pack", 4, "cavatica_pack", 2, lambda job: job.packed),
    ("reuse", True, "cavatica_reuse", False, lambda job: job.reuse),
    (
        "output_metadata",
        "k=a",
        "cavatica_output_metadata",
        "k=b",
        lambda job: ",".join("=".join(item) for item in job.metadata.items()),
    ),
    (
        "inherit_metadata",
        True,
        "cavatica_inherit_metadata",
        False,
        lambda job: job.inherits_metadata,
    ),
]
NOT_PER_JOB = {
    "copy_up_to",
    "project",
    "api_endpoint",
    "credentials_profile",
    "folder",
    "detach",
    "allow_secret_envvars",
    "max_cost",  # its resource is about a rule, and beside it
    "max_cost_abort",
    "right_size",
    "trace",
    "report",
}


@pytest.mark.parametrize(
    ("setting", "usual", "resource", "own", "shown"), PRECEDENCE, ids=lambda value: str(value)[:20]
)
def test_a_rules_resource_beats_the_setting(
    setting: str, usual: Any, resource: str, own: Any, shown: Any
) -> None:
    job = partial(plan, inputs=[local("x")])
    assert shown(job(defaults={setting: usual})) == usual
    assert shown(job(resources={resource: own})) == own
    assert shown(job(defaults={setting: usual}, resources={resource: own})) == own
    assert shown(job(defaults={setting: usual}, resources={resource: None})) == usual


def test_every_setting_that_can_differ_between_rules_has_a_resource() -> None:
    settings = {field.name for field in dataclasses.fields(ExecutorSettings)} - NOT_PER_JOB
    tested = {setting.replace("shell_image", "container_image") for setting, *_ in PRECEDENCE}
    named = {
        field.name: field.metadata.get("help", "") for field in dataclasses.fields(ExecutorSettings)
    }
    # A setting more is either for the whole run or needs a row above; this says so.
    assert tested <= settings
    for setting in tested:
        assert f"resource cavatica_{setting}" in named[setting]
    for setting in settings - tested:
        assert f"cavatica_{setting}" not in named[setting]


@pytest.mark.parametrize("wrong", ["maybe", 2, "None"])
def test_what_is_neither_true_nor_false_is_refused(wrong: object) -> None:
    with pytest.raises(Refusal, match=r"cavatica_use_memoization=.* neither true nor false"):
        plan(resources={"cavatica_use_memoization": wrong})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), (1, True), ("FALSE", False), (0, False)]
)
def test_truth_may_be_written_in_many_ways(text: object, value: bool) -> None:
    assert plan(resources={"cavatica_interruptible": text}).settings.interruptible is value


@pytest.mark.parametrize("name", ["cavatica_max_parallel_instances", "cavatica_pack"])
@pytest.mark.parametrize("wrong", [0, -1, "0"])
def test_no_instances_and_no_jobs_at_all_are_refused(name: str, wrong: object) -> None:
    with pytest.raises(Refusal, match=f"resource {name}=.* from 1 on"):
        plan(resources={name: wrong})


def test_an_empty_limit_of_a_rule_is_not_taken_for_none() -> None:
    with pytest.raises(Refusal, match="cavatica_max_cost='' is no amount of money"):
        plan(resources={"cavatica_max_cost": ""})
    assert plan(resources={"cavatica_max_cost": TBD}).max_cost is None


@pytest.mark.parametrize("no", [False, "off", "No", 0])
def test_batches_are_switched_off_by_whatever_means_no(no: object) -> None:
    assert not plan(resources={"cavatica_batch": no}, defaults={"batch": "auto"}).batched


@pytest.mark.parametrize(
    ("resource", "setting", "preemptible", "attempt", "last"),
    list(itertools.product(MAYBE, MAYBE, [True, False], [1, 2], [True, False])),
)
def test_spot_instances(
    resource: bool | None, setting: bool | None, preemptible: bool, attempt: int, last: bool
) -> None:
    job = plan(
        resources={"cavatica_interruptible": resource},
        defaults={"interruptible": setting},
        preemptible=preemptible,
        attempt=attempt,
        last_attempt=last,
    )
    if resource is not None:
        expected: bool | None = resource
    elif preemptible:
        expected = not (attempt == 2 and last)
    else:
        expected = setting
    assert job.settings.interruptible is expected


# ------------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("", {}),
        (" , ", {}),
        ("a=1", {"a": "1"}),
        (" sample id = x y , b=1=2,c=", {"sample id": "x y", "b": "1=2", "c": ""}),
        ("a=1,a=2", {"a": "2"}),
    ],
)
def test_output_metadata_is_read(text: str, metadata: dict[str, str]) -> None:
    assert values.metadata(text) == metadata


@pytest.mark.parametrize("text", ["a", "=1", "a.b=1", "$a=1", "a=1,b"])
def test_wrong_output_metadata_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match=r"^Rule align .*key=value"):
        plan(resources={"cavatica_output_metadata": text})


# ---------------------------------------------------------------------------------------- ports


def input_ports(**changes: Any) -> list[tuple[str, str]]:
    return [(staged.port, staged.path) for staged in plan(**changes).inputs]


def output_ports(**changes: Any) -> list[tuple[str, str]]:
    return [(output.port, output.path) for output in plan(**changes).outputs]


def test_inputs_have_a_port_per_name_and_one_for_the_rest() -> None:
    inputs = [local("a"), local("b"), local("c", name="reads"), local("d", name="reads")]
    assert input_ports(inputs=inputs) == [
        ("inputs", "a"),
        ("inputs", "b"),
        ("reads", "c"),
        ("reads", "d"),
    ]


def test_every_output_has_a_port() -> None:
    outputs = [local("a"), local("b", name="bam"), local("c", name="r"), local("d", name="r")]
    assert output_ports(
        outputs=outputs, logs=[local("l"), local("m", name="x")], benchmark=local("t")
    ) == [
        ("output_0", "a"),
        ("bam", "b"),
        ("r_2", "c"),
        ("r_3", "d"),
        ("log_0", "l"),
        ("log_1", "m"),
        ("benchmark", "t"),
    ]


def test_no_two_output_ports_share_a_name() -> None:
    outputs = [local(name, name=name) for name in ("log_0", "benchmark", "output_4", "r", "é", "è")]
    found = output_ports(
        outputs=[*outputs[:4], local("x"), *outputs[4:]], logs=[local("l")], benchmark=local("t")
    )
    assert len({port for port, _ in found}) == len(found) == 9


def test_outputs_named_like_inputs_have_other_ports() -> None:
    inputs = [local("a", name="bam"), local("b"), local("c", name="bam_out")]
    outputs = [local("d", name="bam"), local("e", name="inputs"), local("f", name="vcf")]
    assert output_ports(inputs=inputs, outputs=outputs) == [
        ("bam_out_", "d"),
        ("inputs_out", "e"),
        ("vcf", "f"),
    ]


@pytest.mark.parametrize("name", ["snakemake_job", "snakemake_update", "snakemake_cores"])
def test_the_plugins_own_ports_stay_its_own(name: str) -> None:
    assert input_ports(inputs=[local("a", name=name)]) == [(f"{name}_", "a")]
    assert output_ports(outputs=[local("a", name=name)]) == [(f"{name}_", "a")]


def test_files_and_folders_never_share_a_port() -> None:
    place = ProjectPath("me/p", "x")
    inputs = [
        local("a", name="db"),
        staged("b", place, name="db", form="folder"),
        local("c", name="db_folder"),
        staged("d", place, name="db_folder", form="folder"),
        local("e", form="archive", name="db"),
    ]
    kinds: dict[str, set[bool]] = {}
    for one in plan(inputs=inputs).inputs:
        kinds.setdefault(one.port, set()).add(one.form == "folder")
    assert all(len(kind) == 1 for kind in kinds.values())
    assert set(kinds) == {"db", "db_folder", "db_folder_", "db_folder_folder"}


def test_the_port_of_folders_does_not_tell_how_many_there_are() -> None:
    """Else jobs of one rule would need an app for each number of them."""
    folders = [staged(name, ProjectPath("me/p", name), form="folder") for name in "abc"]
    assert {port for port, _ in input_ports(inputs=folders)} == {"inputs_folder"}


def test_a_file_that_is_named_twice_is_staged_once() -> None:
    inputs = [local("a", name="x"), local("./a", name="y"), local("a")]
    assert input_ports(inputs=inputs) == [("x", "a")]


def test_different_files_at_one_path_are_refused() -> None:
    inputs = [staged("a", LocalPath("a")), staged("a", ProjectPath("me/p", "a"))]
    with pytest.raises(Refusal, match=r"^Rule align .* would both be a in the task"):
        plan(inputs=inputs)


def test_an_updated_output_is_staged_as_a_copy_and_only_once() -> None:
    job = plan(inputs=[local("a", name="before")], outputs=[local("a")], old_versions=[local("a")])
    assert [(one.port, one.method) for one in job.inputs] == [("snakemake_update", "copy")]


def test_a_linked_folder_is_never_written_to() -> None:
    folder = staged("d", ProjectPath("me/p", "d"), form="folder")
    linked = partial(plan, inputs=[folder], resources={"cavatica_inputs": "link"})
    assert linked().inputs[0].method == "link"
    assert linked(outputs=[local("d/x")]).inputs[0].method == "copy"
    assert linked(logs=[local("d/x")]).inputs[0].method == "copy"
    assert linked(outputs=[local("dd/x")]).inputs[0].method == "link"


def test_thousands_of_inputs_are_planned_fast() -> None:
    job = plan(inputs=[local(f"d/{number}") for number in range(20_000)])
    assert len(job.inputs) == 20_000


def test_checkpoint_outputs_are_staged_for_snakemake_only() -> None:
    given_ = {"staged": [local("ck")], "inputs": [local("a")]}
    assert input_ports(**given_) == [("inputs", "a")]
    assert input_ports(**given_, directive="run") == [
        ("inputs", "a"),
        ("snakemake_checkpoints", "ck"),
    ]


def test_direct_and_snakemake_mode_each_use_their_own_paths() -> None:
    both = WorkflowFile(".snakemake/storage/x", "x", ProjectPath("me/p", "x"))
    assert plan(inputs=[both], outputs=[both]).outputs[0].path == ".snakemake/storage/x"
    job = plan(directive="run", inputs=[both], outputs=[both])
    assert (job.inputs[0].path, job.outputs[0].path) == ("x", "x")


@pytest.mark.parametrize("kind", ["inputs", "outputs", "logs", "staged"])
@pytest.mark.parametrize("path", ["/ref/x", "../x"])
def test_snakemake_mode_refuses_paths_outside_by_name(kind: str, path: str) -> None:
    with pytest.raises(Refusal, match=f"^Rule align .*file {path} lies outside"):
        plan(directive="script", **{kind: [local(path)]})
    assert plan(**{kind: [local(path)]}).mode is Mode.DIRECT


@pytest.mark.parametrize(
    ("given_", "cause", "cure"),
    [
        ({"directive": "run"}, "it has a run directive", "use a shell directive"),
        ({"benchmark": local("b")}, "it has a benchmark, which only", "cavatica_mode='direct'"),
        (
            {"resources": {"cavatica_mode": "snakemake"}},
            "snakemake mode was asked for",
            "cavatica_mode='direct'",
        ),
    ],
)
def test_a_refused_path_comes_with_cause_and_cure(
    given_: dict[str, Any], cause: str, cure: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        plan(inputs=[local("/ref/x")], **given_)
    assert f"because {cause}" in str(refusal.value)
    assert cure in str(refusal.value)


def test_ensure_and_touch_reach_the_plan() -> None:
    ensure = Ensure(True, ("md5", "0"))
    output = plan(outputs=[local("a", ensure=ensure, touch=True)]).outputs[0]
    assert (output.ensure, output.touch, output.role) == (ensure, True, "output")


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "echo \udcff"},
        {"outputs": [local("x\udcff")]},
        {"inputs": [local("x\udcff")]},
        {"outputs": [local("x" * 256)]},
        {"defaults": {"environment": {"A": "\udcff"}}},
        {"defaults": {"environment": {"A.B": "x"}}},
        {"defaults": {"environment": {"A; touch pwned": "x"}}},
    ],
)
def test_what_cannot_be_written_into_a_task_is_refused_by_rule(changes: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match=r"^Rule align "):
        plan(**changes)


def test_a_job_is_called_by_its_rule_and_wildcards() -> None:
    assert plan().title == "align"
    assert plan(wildcards={"sample": "A", "n": "1"}).title == "align [sample=A, n=1]"


def test_defaults_alone_are_enough() -> None:
    assert plan_job(facts(), Defaults()).mode is Mode.DIRECT


def hows(*sizes: int, **changes: Any) -> str:
    """How inputs of these sizes get to their paths, by their first letters."""
    inputs = [local(f"in{number}", size=size) for number, size in enumerate(sizes)]
    return "".join(one.method[0] for one in plan(inputs=inputs, **changes).inputs)


def test_inputs_are_copied_unless_they_are_too_many_bytes_together() -> None:
    assert (hows(10 * GB), hows(5 * GB, 5 * GB)) == ("c", "cc")
    # Those of a few MB are copied all the same.
    assert hows(10 * GB, 1, 5_000_000, 5_000_001) == "lccl"
    assert hows(GB, defaults={"copy_up_to": 0}) == "l"
    assert hows(defaults={"copy_up_to": 0}) == ""
    assert hows(11 * GB, copies_inputs=True) == "c"


def test_how_inputs_are_given_can_be_said_by_rule() -> None:
    assert hows(1, copies_inputs=True, resources={"cavatica_inputs": "link"}) == "l"
    assert hows(11 * GB, 1, resources={"cavatica_inputs": "copy"}) == "cc"
    with pytest.raises(Refusal, match="cavatica_inputs='x'"):
        plan("true", resources={"cavatica_inputs": "x"})


@pytest.mark.parametrize("form", ["file", "folder"])
def test_links_that_nobody_asked_for_are_told(form: Any) -> None:
    big = [local("big", size=40 * GB, form=form), local("small", size=1)]
    job = plan(inputs=big, wildcards={"sample": "A"})
    assert job.is_linked_for_size
    told = links_for_size(job)
    for part in ("Rule align:", "align [sample=A]", "40.0 GB", "--cavatica-copy-up-to", "tar"):
        assert part in told
    assert "cavatica_inputs='copy'" in told
    assert "6 min and 40.0 GB of disk" in told
    assert "cavatica_inputs='link'" in told
    for wanted in ("link", "copy"):
        assert not plan(inputs=big, resources={"cavatica_inputs": wanted}).is_linked_for_size
    archive = [local("d", form="archive")]
    assert not plan(inputs=archive).is_linked_for_size


def test_copies_take_disk_where_the_rule_asks_for_some() -> None:
    def disk(*sizes: int, **resources: Any) -> int | None:
        inputs = [local(f"in{number}", size=size) for number, size in enumerate(sizes)]
        return plan(inputs=inputs, resources={"disk_mb": 1000, **resources}).resources.disk_mib

    asked = [disk(), disk(1), disk(GB), disk(GB, 1), disk(9 * GB), disk(11 * GB)]
    assert asked == [
        -(-megabytes * 10**6 // 2**20) for megabytes in (1000, 2000, 2000, 3000, 17000, 1000)
    ]
    # The same app for all jobs of the rule, and none more where it says nothing.
    assert disk(GB, disk_mb=None) is None
    huge = plan(inputs=[local("x", size=3000 * GB)], resources={"cavatica_inputs": "copy"})
    assert str(huge.settings.instance_type).endswith(";4096")


def test_programs_stay_executable_whatever_their_size() -> None:
    job = plan(inputs=[local("big", size=11 * GB), local("tool", size=GB, executable=True)])
    assert [(one.method, one.executable) for one in job.inputs] == [("link", False), ("copy", True)]


def test_a_job_that_snakemake_cannot_be_told_runs_directly_or_not_at_all() -> None:
    reason = "its wildcard holds a comma. Rename the file"
    assert plan("true", beyond_snakemake=reason).mode is Mode.DIRECT
    with pytest.raises(Refusal, match=f"needs Snakemake inside the task, but {reason}, or use"):
        plan(None, directive="run", beyond_snakemake=reason)


def test_names_that_a_task_cannot_hold_are_refused() -> None:
    place = ProjectPath("me/p", "é" * 128)
    with pytest.raises(Refusal, match="has 256 bytes as UTF-8; a task can hold 255"):
        plan(inputs=[WorkflowFile(place.path, place.path, place)])
    with pytest.raises(Refusal, match="too long for the platform: 320 characters"):
        plan(outputs=[local("é" * 40, form="folder")])
    with pytest.raises(Refusal, match=r"The command .* holds a NUL character"):
        plan("echo \0")


def test_small_files_that_become_copies_may_travel_together() -> None:
    """Not folders, nor links, which must not be written to, nor the inputs of batches."""
    inputs = [
        local("small", size=10),
        local("large", size=11),
        local("folder", form="folder"),
        WorkflowFile("far", "far", ProjectPath("me/p", "far")),
    ]

    def together(**changes: Any) -> list[str]:
        defaults = {"parcel_up_to": 10, **changes.pop("defaults", {})}
        return [one.path for one in plan(inputs=inputs, defaults=defaults, **changes).small_inputs]

    assert together() == ["small"]
    assert together(resources={"cavatica_inputs": "link"}) == []
    assert together(defaults={"parcel_up_to": 0}) == []
    assert together(resources={"cavatica_batch": "auto"}) == []


def test_what_is_declared_twice_leaves_the_task_once() -> None:
    """Seen in snakemake-workflows/chipseq and, with two logs, in cbg-ethz/V-pipe: the second time
    it was not there any more.
    """
    twice = plan(outputs=[local("a"), local("x.log")], logs=[local("x.log"), local("y.log")])
    assert [(one.path, one.role) for one in twice.outputs] == [
        ("a", "output"),
        ("x.log", "output"),
        ("y.log", "log"),
    ]
    logs = plan(outputs=[local("a")], logs=[local("x.log"), local("x.log")])
    assert [(one.path, one.role) for one in logs.outputs] == [("a", "output"), ("x.log", "log")]
    measured = plan(outputs=[local("b.tsv")], benchmark=local("b.tsv"))
    assert [one.role for one in measured.outputs] == ["output"]


@pytest.mark.parametrize(
    ("changed", "is_said"),
    [
        ({"benchmark": local("b.tsv")}, True),
        (a_group(facts("true"), facts("true", benchmark=local("b.tsv"))), True),
        ({}, False),
        ({"benchmark": local("b.tsv"), "resources": {"cavatica_mode": "snakemake"}}, False),
    ],
)
def test_it_is_said_that_a_benchmark_lacks_columns(changed: dict[str, Any], is_said: bool) -> None:
    """Where they were asked for, and Snakemake does not write them."""
    job = dataclasses.replace(facts("true"), container="docker://image", **changed)
    asked = dataclasses.replace(DEFAULTS, benchmarks_extended=True)
    remarks = Remarks()
    said = [*remarks.on(plan_job(job, asked)), *remarks.on(plan_job(job, asked))]
    assert sum("--benchmark-extended" in one for one in said) == is_said
    assert not any("extended" in one for one in Remarks().on(plan_job(job, DEFAULTS)))


def test_a_misspelt_resource_is_told_with_what_was_meant() -> None:
    """Protects a limit, or a cheap instance, that somebody believes to have asked for."""
    given = {"cavatica_max_cots": 1, "cavatica_interruptible": False, "mem_mb": 1, "other": 2}
    job = dataclasses.replace(facts("true"), container="docker://image", resources=given)
    said = "\n".join(Remarks().on(plan_job(job, DEFAULTS)))
    assert "does not know (cavatica_max_cots)" in said
    assert "Did you mean cavatica_max_cost?" in said
    known = dataclasses.replace(job, resources=dict.fromkeys(RESOURCES))
    assert "does not know" not in "\n".join(Remarks().on(plan_job(known, DEFAULTS)))
