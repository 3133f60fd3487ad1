"""Random workflows, and what a run of them without any fault leaves behind.

A workflow is made from a seed alone. What its files hold in the end is computed here, from the same
definition that the Snakefile is written from; neither Snakemake nor the plugin has a part in it.

Every job writes, into each output, its own name and the MD5 of what it read. It also appends its
name to a file outside of the workflow, the witness, as the last thing that it does, and where it
runs: commands that run a second time inside of one task are seen there, and nowhere else, and so is
which of the jobs of a task have come to their end.
"""

from __future__ import annotations

import hashlib
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Directive = Literal["shell", "run", "script"]
Content = bytes | dict[str, bytes]
"""Of a file; or of the files in a folder, by name."""

SNAKEFILE = "Snakefile"
SCRIPT = "scripts/make.py"
FOLDER_FILES = ("p0", "p1")
AWKWARD = (
    "two words",
    "it's",
    "$HOME",
    "[brackets]",
    "-dash",
    "a;b&c",
    'double"quote',
    "naïve-ü",
    "star*",
    "~tilde",
    "#hash",
    "(round)",
    "back`tick",
    "per%cent",
    "comma,=equals",
)
_SECONDS = (0.1, 0.1, 0.3, 0.5, 1.0, 1.6)


@dataclass(frozen=True)
class Output:
    """An output of a rule; `{x}` in its path is the wildcard."""

    path: str
    folder: bool = False
    temp: bool = False


@dataclass(frozen=True)
class Rule:
    """A rule: one job, or one for each value of its wildcard `x`."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    values: tuple[str, ...] = ()
    directive: Directive = "shell"
    seconds: float = 0.1
    fails: int = 0
    """How many attempts fail before one succeeds."""
    failing: tuple[str, ...] = ()
    """The values of the wildcard whose jobs fail; all do if there are none."""
    group: str | None = None
    parts: tuple[str, ...] = ()
    """What a checkpoint finds: lines of a file, or files of a folder."""
    gathers: str | None = None
    """The checkpoint whose parts decide the inputs: `inputs` holds their one pattern."""
    needs: int = 0
    """MB of memory without which a job is killed, if that is more than the workflow asks for."""
    hungry: tuple[str, ...] = ()
    """The values of the wildcard whose jobs need so much; all do if there are none."""

    def jobs(self) -> Iterator[Job]:
        """The jobs of the rule."""
        for value in self.values or ("",):
            inputs = tuple(path.replace("{x}", value) for path in self.inputs)
            outputs = [replace(one, path=one.path.replace("{x}", value)) for one in self.outputs]
            yield Job(self, value, inputs, tuple(outputs))


@dataclass(frozen=True)
class Job:
    """One job, with the paths that it really has."""

    rule: Rule
    value: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]

    @property
    def key(self) -> str:
        """Names the job in its command, its outputs and the witness."""
        return f"{self.rule.name}:{self.value}"

    @property
    def fails(self) -> int:
        """How many attempts fail before one succeeds."""
        spared = self.rule.failing and self.value not in self.rule.failing
        return 0 if spared else self.rule.fails

    @property
    def needs(self) -> int:
        """MB of memory without which it is killed; 0 if any will do."""
        spared = self.rule.hungry and self.value not in self.rule.hungry
        return 0 if spared else self.rule.needs


@dataclass(frozen=True)
class Workflow:
    """Rules in an order in which they could run, and the inputs that exist before."""

    rules: tuple[Rule, ...]
    given: Mapping[str, bytes]
    asks: int = 0
    """MB of memory that each rule asks for; 0 for what is asked for by default."""

    @property
    def jobs(self) -> list[Job]:
        """All jobs but the one that only collects the targets."""
        return [job for rule in self._concrete() for job in rule.jobs()]

    def _concrete(self) -> Iterator[Rule]:
        """The rules, with the inputs that checkpoints decide filled in."""
        checkpoints = {rule.name: rule for rule in self.rules}
        for rule in self.rules:
            if rule.gathers is None:
                yield rule
            else:
                parts = sorted(checkpoints[rule.gathers].parts)
                yield replace(rule, inputs=tuple(rule.inputs[0].replace("{x}", p) for p in parts))

    @property
    def targets(self) -> list[str]:
        """The outputs that no job reads."""
        jobs = self.jobs
        read = {path for job in jobs for path in job.inputs}
        return [one.path for job in jobs for one in job.outputs if one.path not in read]

    def contents(self) -> dict[str, Content]:
        """What each output holds, also those that are removed in the end."""
        contents: dict[str, Content] = dict(self.given)
        for job in self.jobs:
            digest = _digest([_at(contents, path) for path in job.inputs])
            for number, output in enumerate(job.outputs):
                contents[output.path] = _content(job, number, output, digest)
        return {path: contents[path] for path in contents if path not in self.given}

    def kept(self) -> dict[str, Content]:
        """What a run leaves: everything but temporary files."""
        temporary = {one.path for job in self.jobs for one in job.outputs if one.temp}
        return {path: one for path, one in self.contents().items() if path not in temporary}

    def files(self, witness: str) -> dict[str, str]:
        """The files that make up the workflow: Snakefile and script."""
        files = {SNAKEFILE: _snakefile(self, witness)}
        if any(rule.directive == "script" for rule in self.rules):
            files[SCRIPT] = _MAKE.replace("WITNESS", repr(witness)) + _SCRIPT_END
        return files


def _at(contents: Mapping[str, Content], path: str) -> Content:
    """What is at a path, which may lie in a folder that is an output."""
    if path in contents:
        return contents[path]
    folder, _, name = path.rpartition("/")
    inside = contents[folder]
    assert isinstance(inside, dict)
    return inside[name]


def _digest(contents: Sequence[Content]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for content in contents:
        for part in _parts(content):
            digest.update(part)
    return digest.hexdigest()


def _parts(content: Content) -> list[bytes]:
    return [content] if isinstance(content, bytes) else [content[name] for name in sorted(content)]


def _content(job: Job, number: int, output: Output, digest: str) -> Content:
    rule = job.rule
    if rule.parts and number == 0:
        if not output.folder:
            return "".join(f"{part}\n" for part in rule.parts).encode()
        return {part: f"{job.key} {part}\n{digest}\n".encode() for part in rule.parts}
    if output.folder:
        return {part: f"{job.key} {number} {part}\n{digest}\n".encode() for part in FOLDER_FILES}
    return f"{job.key} {number}\n{digest}\n".encode()


def flat(contents: Mapping[str, Content]) -> dict[str, bytes]:
    """Contents by the path of each file."""
    files: dict[str, bytes] = {}
    for path, content in contents.items():
        if isinstance(content, bytes):
            files[path] = content
        else:
            files |= {f"{path}/{name}": part for name, part in content.items()}
    return files


# ---------------------------------------------------------------------------- the Snakefile

_MAKE = """
import hashlib
import os
from pathlib import Path


def make(key, inputs, outputs):
    digest = hashlib.md5()
    for path in map(Path, inputs):
        found = sorted(path.glob("[!.]*")) if path.is_dir() else [path]
        for one in found:
            digest.update(one.read_bytes())
    for number, path in enumerate(outputs):
        Path(path).write_text(f"{key} {number}\\n{digest.hexdigest()}\\n")
    with open(WITNESS, "a") as witness:
        witness.write(f"{key}\\t{os.getcwd()}\\n")
"""
_SCRIPT_END = """

value = dict(snakemake.wildcards).get("x", "")
make(f"{snakemake.rule}:{value}", snakemake.input, snakemake.output)
"""
_READ = (
    'digest=$(for f in {input:q}; do if [ -d "$f" ]; then cat "$f"/*; else cat "$f"; fi; done'
    " | md5sum | cut -c1-32)"
)


def _snakefile(workflow: Workflow, witness: str) -> str:
    lines = ["import os"]
    if any(rule.directive == "run" for rule in workflow.rules):
        lines.append(_MAKE.replace("WITNESS", repr(witness)))
    checkpoints = {rule.name: rule for rule in workflow.rules if rule.parts}
    lines += ["rule all:", "    input:"]
    lines += [f"        {target!r}," for target in workflow.targets]
    for rule in workflow.rules:
        if rule.gathers is not None:
            lines += _input_function(rule, checkpoints[rule.gathers])
        lines += _rule(rule, witness, workflow.asks)
    return "\n".join(lines) + "\n"


def _input_function(rule: Rule, checkpoint: Rule) -> list[str]:
    lines = [
        f"def inputs_of_{rule.name}(wildcards):",
        f"    found = checkpoints.{checkpoint.name}.get().output[0]",
    ]
    if checkpoint.outputs[0].folder:
        lines.append("    parts = [name for name in os.listdir(found) if name[0] != '.']")
    else:
        lines += ["    with found.open() as lines:", "        parts = lines.read().split()"]
    return [*lines, f"    return [{rule.inputs[0]!r}.format(x=part) for part in sorted(parts)]"]


def _rule(rule: Rule, witness: str, asks: int) -> list[str]:
    lines = [f"{'checkpoint' if rule.parts else 'rule'} {rule.name}:"]
    if rule.gathers is not None:
        lines.append(f"    input: inputs_of_{rule.name}")
    elif rule.inputs:
        lines.append(f"    input: {', '.join(map(repr, rule.inputs))}")
    lines.append(f"    output: {', '.join(map(_flagged, rule.outputs))}")
    if rule.group is not None:
        lines.append(f"    group: {rule.group!r}")
    resources = {"mem_mb": str(asks)} if asks else {}
    if rule.fails:
        lines.append(f"    retries: {rule.fails + 2}")
        resources["try_number"] = "lambda wildcards, attempt: attempt"
    if resources:
        given = ", ".join(f"{name}={value}" for name, value in resources.items())
        lines.append(f"    resources: {given}")
    return lines + _action(rule, witness)


def _flagged(output: Output) -> str:
    text = repr(output.path)
    if output.folder:
        text = f"directory({text})"
    return f"temp({text})" if output.temp else text


def _action(rule: Rule, witness: str) -> list[str]:
    if rule.directive == "script":
        return [f"    script: {SCRIPT!r}"]
    if rule.directive == "run":
        value = "wildcards.x" if rule.values else "''"
        return ["    run:", f"        make({rule.name + ':'!r} + {value}, input, output)"]
    command = "\n".join(_command(rule, witness))
    return ["    shell:", f"        {command!r}"]


def _command(rule: Rule, witness: str) -> Iterator[str]:
    key = f"{rule.name}:" + ("{wildcards.x:q}" if rule.values else "")
    yield f": job={key}"
    if rule.fails:
        yield _of_some(f"test {{resources.try_number}} -gt {rule.fails}", rule.failing)
    if rule.needs:
        yield _of_some(f"test {{resources.mem_mb}} -ge {rule.needs} || kill -9 $$", rule.hungry)
    yield f"sleep {rule.seconds}"
    yield _READ
    for number, output in enumerate(rule.outputs):
        target = f"{{output[{number}]:q}}"
        if rule.parts and number == 0 and not output.folder:
            yield f"printf '%s\\n' {' '.join(rule.parts)} > {target}"
        elif output.folder:
            parts, label = (rule.parts, "") if rule.parts else (FOLDER_FILES, f"{number} ")
            yield f"mkdir -p {target}"
            yield (
                f"for p in {' '.join(parts)}; do printf '%s %s%s\\n%s\\n' {key} '{label}' "
                f'"$p" "$digest" > {target}/"$p"; done'
            )
        else:
            yield f"printf '%s %s\\n%s\\n' {key} {number} \"$digest\" > {target}"
    yield f"printf '%s\\t%s\\n' {key} \"$PWD\" >> {witness}"


def _of_some(test: str, values: Sequence[str]) -> str:
    """A test that only jobs with some values of the wildcard have to pass; with none, all do."""
    some = "|".join(map(shlex.quote, values))
    return f"case {{wildcards.x:q}} in {some}) {test} ;; esac" if some else test


# ----------------------------------------------------------------------------- the generator


@dataclass(frozen=True)
class _Files:
    """Files that further rules may read: one, or one for each value of a wildcard."""

    pattern: str
    values: tuple[str, ...] = ()


@dataclass
class _Builder:
    """Grows a workflow, block after block."""

    dice: random.Random
    given: dict[str, bytes] = field(default_factory=dict)
    basic: list[str] = field(default_factory=list)
    """The given files that any rule may read."""
    rules: list[Rule] = field(default_factory=list)
    pool: list[_Files] = field(default_factory=list)
    by_snakemake: int = 2
    """How many more jobs may run in snakemake mode: they take seconds each."""

    @property
    def size(self) -> int:
        return sum(max(len(rule.values), 1) for rule in self.rules)

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        values: tuple[str, ...] = (),
        most_outputs: int = 1,
        plain: bool = False,
        rule: Rule | None = None,
    ) -> list[_Files]:
        """Add a rule; `plain` ones have nothing special, so that they may be in a group."""
        name = f"{kind}{len(self.rules)}"
        wildcard = "{x}." if values else ""
        outputs = tuple(
            Output(
                f"{name}/{wildcard}o{number}",
                folder=not plain and self.dice.random() < 0.12,
            )
            for number in range(self.dice.randint(1, most_outputs))
        )
        made = Rule(name, tuple(inputs), outputs, values, seconds=self.dice.choice(_SECONDS))
        made = made if plain else self._with_a_twist(made)
        self.rules.append(made)
        return [_Files(output.path, values) for output in made.outputs]

    def _with_a_twist(self, rule: Rule) -> Rule:
        jobs = max(len(rule.values), 1)
        only_files = not any(output.folder for output in rule.outputs)
        plain = only_files and not set(rule.values) & set(AWKWARD)
        if plain and jobs <= self.by_snakemake and self.dice.random() < 0.08:
            self.by_snakemake -= jobs
            return replace(rule, directive=self.dice.choice(("run", "script")))
        return self._failing(rule) if self.dice.random() < 0.1 else rule

    def _failing(self, rule: Rule) -> Rule:
        """With attempts that fail, of all of its jobs or of some."""
        some: tuple[str, ...] = ()
        if rule.values and self.dice.random() < 0.5:
            some = tuple(self.dice.sample(rule.values, self.dice.randint(1, len(rule.values))))
        return replace(rule, fails=self.dice.choice((1, 1, 2)), failing=some)

    def take(self, *, many: bool | None = None) -> _Files | None:
        """Some files of the pool, which stay there for others in half of the cases."""
        fitting = [one for one in self.pool if many is None or bool(one.values) == many]
        if not fitting:
            return None
        chosen = self.dice.choice(fitting)
        if self.dice.random() < 0.5:
            self.pool.remove(chosen)
        return chosen

    def single(self) -> str:
        """The path of one file that exists by itself."""
        found = self.take(many=False)
        if found is None:
            self.source()
            found = self.pool[-1]
        return found.pattern

    # ------------------------------------------------------------------------------- blocks

    def source(self) -> None:
        """From inputs that exist before, or from nothing."""
        inputs = self.dice.sample(self.basic, self.dice.randint(0, len(self.basic)))
        self.pool += self.add("source", inputs, most_outputs=3)

    def alike(self) -> None:
        """Jobs that only differ in files of their own, and are ready at the same time."""
        values = self._values(self.dice.randint(3, 5))
        pattern = f"data/alike{len(self.rules)}/{{x}}."
        own = [pattern + kind for kind in ("a", "b")[: self.dice.randint(1, 2)]]
        for path in (one.replace("{x}", value) for one in own for value in values):
            self.given[path] = f"{path} {self.dice.random()}\n".encode()
        shared = [self.single()] if self.dice.random() < 0.4 else []
        made = self.add("alike", [*own, *shared], values=values, most_outputs=2)
        rule = self.rules[-1]
        if rule.directive == "shell" and not rule.fails and self.dice.random() < 0.3:
            self.rules[-1] = self._failing(rule)
        self.pool += made

    def fan_out(self) -> None:
        """One job for each value of a wildcard, all on one file."""
        values = self._values(self.dice.randint(2, 6))
        self.pool += self.add("fan", [self.single()], values=values, most_outputs=2)

    def _values(self, number: int) -> tuple[str, ...]:
        plain = [f"s{index}" for index in range(number)]
        if self.dice.random() < 0.4:
            awkward = self.dice.sample(AWKWARD, self.dice.randint(1, number))
            plain = awkward + plain[len(awkward) :]
        return tuple(plain)

    def step(self) -> None:
        """A chain goes on by one or two links, for each value."""
        files = self.take(many=True) or self.take()
        if files is None:
            self.source()
            return
        for _ in range(self.dice.randint(1, 2)):
            (files,) = self.add("step", [files.pattern], values=files.values)
        self.pool.append(files)

    def fan_in(self) -> None:
        """Everything that a wildcard spread comes together."""
        files = self.take(many=True)
        if files is None:
            self.fan_out()
            return
        paths = [files.pattern.replace("{x}", value) for value in files.values]
        self.pool += self.add("gather", paths, most_outputs=2)

    def diamond(self) -> None:
        """Two ways that part and meet again."""
        top = self.single()
        left = self.add("left", [top])
        right = self.add("right", [top], most_outputs=2)
        self.pool += self.add("meet", [one.pattern for one in (*left, *right)])

    def combine(self) -> None:
        """Files from anywhere in the workflow."""
        paths = {self.single() for _ in range(self.dice.randint(2, 3))}
        self.pool += self.add("combine", sorted(paths), most_outputs=2)

    def checkpoint(self) -> None:
        """How many jobs there are turns out only during the run."""
        number = len(self.rules)
        parts = tuple(f"part{index}" for index in range(self.dice.randint(2, 4)))
        name, each, collect = f"check{number}", f"each{number}", f"collect{number}"
        folder = self.dice.random() < 0.5
        found = f"{name}/found"
        read = f"{found}/{{x}}" if folder and self.dice.random() < 0.5 else found
        seconds = [self.dice.choice(_SECONDS) for _ in range(3)]
        self.rules += [
            Rule(name, (self.single(),), (Output(found, folder),), parts=parts, seconds=seconds[0]),
            Rule(each, (read,), (Output(f"{each}/{{x}}.o0"),), parts, seconds=seconds[1]),
            Rule(
                collect,
                (f"{each}/{{x}}.o0",),
                (Output(f"{collect}/o0"),),
                gathers=name,
                seconds=seconds[2],
            ),
        ]
        self.pool.append(_Files(f"{collect}/o0"))

    def group(self) -> None:
        """Two rules whose jobs run together, in one task for each value."""
        values = tuple(f"s{index}" for index in range(self.dice.randint(1, 2)))
        if self.by_snakemake < len(values):
            self.step()
            return
        self.by_snakemake -= len(values)
        name = f"together{len(self.rules)}"
        (first,) = self.add("first", [self.single()], values=values, plain=True)
        (second,) = self.add("second", [first.pattern], values=values, plain=True)
        for index in (-2, -1):
            self.rules[index] = replace(self.rules[index], group=name)
        self.pool.append(second)

    # ------------------------------------------------------------------------ finishing touch

    def with_temporary_files(self) -> tuple[Rule, ...]:
        """Mark some of the outputs that other jobs read as temporary."""
        rules = tuple(self.rules)
        read = {path for job in Workflow(rules, {}).jobs for path in job.inputs}
        return tuple(
            replace(
                rule,
                outputs=tuple(
                    replace(one, temp=made.path in read and self._may_go(rule))
                    for one, made in zip(rule.outputs, next(rule.jobs()).outputs, strict=True)
                ),
            )
            for rule in rules
        )

    def _may_go(self, rule: Rule) -> bool:
        """A rule after a checkpoint is not known while Snakemake decides what may go."""
        special = rule.parts or rule.group is not None or rule.name.startswith("each")
        return not special and self.dice.random() < 0.2


_BLOCKS = (
    _Builder.alike,
    _Builder.fan_out,
    _Builder.fan_out,
    _Builder.step,
    _Builder.step,
    _Builder.fan_in,
    _Builder.diamond,
    _Builder.combine,
    _Builder.checkpoint,
    _Builder.group,
)


def random_workflow(dice: random.Random, *, least: int = 20, most: int = 60) -> Workflow:
    """A workflow of `least` to `most` jobs, and a few more where the last block is large."""
    size = dice.randint(least, most)
    builder = _Builder(dice)
    for number in range(dice.randint(1, 3)):
        builder.basic.append(f"data/in{number}.txt")
        builder.given[builder.basic[-1]] = f"input {number} {dice.random()}\n".encode()
    builder.source()
    builder.alike()
    while builder.size < size:
        dice.choice(_BLOCKS)(builder)
    return Workflow(builder.with_temporary_files(), builder.given)
