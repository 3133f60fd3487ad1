"""Simulated tasks of the plugin leave their outputs under the names that its scripts give."""

from __future__ import annotations

from typing import Any

from cavatica_local.execution.wildcards import output_names

ONE = """\
keep() {
finish() {
keep 0 ./out/a.txt a.txt
keep 1 'with space/b c.txt' 'b c.txt'
keep_folder 10 folder folder
}
"""
SEVERAL = """\
use_job() { case $1 in
one.txt|'other one.txt')
stage() { :
case "$1" in x) true ;; esac
}
keep 0 out/1.txt 1.txt
cat > "$command" <<'END-0' || die "cannot write the command"
(echo)
END-0
;;
two.txt)
keep 0 out/2.txt 2.txt
;;
*) die "$1 is in no job of this task" ;;
esac; }
"""


def names(glob: object, **inputs: Any) -> list[str]:
    return output_names(glob, inputs)


def test_a_job_of_its_own() -> None:
    assert names("out/0/*", script=ONE) == ["out/0/a.txt"]
    assert names("out/1/*", script=ONE) == ["out/1/b c.txt"]
    assert names("out/10/.*", script=ONE) == ["out/10/folder"]
    assert names("out/2/*", script=ONE) == []


def test_one_of_several_jobs_is_told_by_its_input() -> None:
    two = [{"class": "File", "basename": "two.txt"}]
    assert names("out/0/*", files=two, command=SEVERAL) == ["out/0/2.txt"]
    other = [{"class": "File", "basename": "other one.txt"}]
    assert names("out/0/*", files=other, command=SEVERAL) == ["out/0/1.txt"]


def test_all_of_several_jobs() -> None:
    found = names("jobs/*/out/0/*", command=SEVERAL)
    assert found == ["jobs/one.txt/out/0/1.txt", "jobs/two.txt/out/0/2.txt"]


def test_globs_of_other_tools_are_none_of_its_business() -> None:
    assert names("*.txt", script=ONE) == []
    assert names("out/0/a.txt", script=ONE) == []
    assert names(["out/0/*"], script=ONE) == []
    assert names(None) == []
