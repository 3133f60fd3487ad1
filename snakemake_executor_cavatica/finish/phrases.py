"""Phrases by which the platform, and programs, tell why a task or a command ended. Pure.

The platform's texts are not documented, so they are searched for phrases, in any case of letters.
Where each phrase comes from:

* **documented** by the provider (docs.cavatica.org: "Job retry"): "Spot Instance is terminated",
  "Instance stops responding", "Memory or hard disk exhaustion". The same page says that the
  platform itself starts a job again after the first two: on demand after the loss of a spot
  instance, once if the instance stopped responding. So a task that fails of it has failed twice.
* **seen** in programs that may stand behind a message: "Failed to pull" and "Failed to create/start
  Docker container" (rabix/bunny, the provider's open executor), "Docker image ... not found" and
  "exceeded time limit" (cwltool), "pull access denied", "manifest unknown", "manifest for ... not
  found", "No such image", "failed to register layer: no space left on device" (Docker), "Preempted"
  (Google), "Killed process", "oom-kill" (Linux), ENOSPC and ENOMEM as C libraries spell them.
* **guessed**: everything else, such as "insufficient memory" or "aborted by the user".
"""

from __future__ import annotations

import re


def _phrases(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_SPOT = r"\b(spot|preemptible|interruptible)\b"
_GONE = r"\b(terminated|interrupted|reclaimed|revoked|evicted|preempted|lost|taken away)\b"
SPOT_LOST = _phrases(
    rf"{_SPOT}[^.;]{{0,60}}{_GONE}",
    rf"{_GONE}[^.;]{{0,40}}{_SPOT}",
    rf"\b(loss|termination|interruption|preemption) of [^.;]{{0,20}}{_SPOT}",
    rf"{_SPOT}( \w+)? (termination|interruption|preemption|loss)\b",
    r"\b(was|been|instance) preempted\b",
)
INSTANCE_LOST = _phrases(rf"\b(instance|node|machine)\b[^.;]{{0,40}}{_GONE}")
NO_RESPONSE = _phrases(
    r"\b(instance|node|machine)\b[^.;]{0,40}\b(stop\w* responding|not respond\w*|unresponsive)",
    r"\bmemory or (hard )?disk\b",
)
NO_SPACE = _phrases(
    r"no (more )?space left",
    r"\b(insufficient|not enough|out of|ran out of|exhausted) (free |hard )?(disk|storage)\b",
    r"\b(disk|storage)( space)?( is| was)? (full|exhausted|insufficient)\b",
    r"\bdisk quota exceeded",
    r"\bENOSPC\b",
)
NO_MEMORY = _phrases(
    r"\b(out of|insufficient|not enough|lack of) (free |available )?memory\b",
    r"\bmemory( limit)?( is| was| has been)? (exceeded|exhausted|insufficient)\b",
    r"\bmemory exhaustion\b",
    r"\bexceed\w*[^.;]{0,30}\bmemory\b",
    r"\boom[- ]?kill",
)
NO_IMAGE = _phrases(
    r"\bimage\b[^;]{0,200}?\b(not found|not be found|not be pulled|not exist|not available)\b",
    r"\b(failed|failure|unable|cannot|can't|could not|error)\b[^.;]{0,20}\b(pull|pulling)\b",
    r"\bunable to find image\b",
    r"\bno such image\b",
    r"\bpull access denied\b",
    r"\bmanifest unknown\b",
    r"\bmanifest for \S+ not found\b",
)
TOO_LONG = _phrases(
    r"\b(exceed\w*|reached|hit|over) [^.;]{0,40}\b(time ?limit|wall ?time|wall[- ]?clock)",
    r"\b(exceed\w*|reached) [^.;]{0,40}\b(run(ning)?|execution) time\b",
    r"\b(time ?limit|wall ?time|run ?time limit)( of [^.;]{1,30})?( was| has been)? "
    r"(exceeded|reached)",
    r"\b(command|execution|job|task|tool)( \S+)? (has |was )?timed out\b",
)
NO_INSTANCE = _phrases(
    r"\bno instance( type)? (for|with|has|fits|is large|offers|satisfies|meets|matches)\b",
    r"\binstance type \S+ (is|was) (too small|not|un)",
    r"\bno (such )?instance type\b",
)
NO_INPUT = _phrases(
    r"\binput( file)?s?\b[^.;]{0,80}\b(not|no longer) (exist|found|available|(be )?(found|read))",
    r"\b(failed|failure|unable|cannot|could not|error)\b[^.;]{0,30}"
    r"\b(download|stag|locali[sz]|fetch)\w*[^.;]{0,40}\binput",
    r"\binput( file)?s?\b[^;]{0,300}\b(is|was|were) (lost|damaged)\b",
    r"\bin quarantine\b",
)
CHANGED_INPUT = _phrases(
    r"\b(changed|modified|wrote|written|overwrote|overwritten|damaged)\b[^.;]{0,40}\binputs?\b",
    r"\binputs?\b[^.;]{0,40}\bread[- ]only\b",
)
NOT_STORED = _phrases(
    r"\boutputs?\b[^.;]{0,80}\b(not|cannot|can't|couldn't) (be )?(stored|collected|uploaded|valid)",
    r"\boutput\b[^;]{0,300}\bnot valid unicode\b",
)
NOT_COLLECTED = _phrases(
    r"\b(error|failed|failure|unable)\b[^.;]{0,20}\b(validat|collect|stor|upload|glob)\w*"
    r"[^.;]{0,20}\boutputs?\b",
    r"\bdid not find output\b",
)
"""After a command that left none, because it never ran, or what cannot be one."""
UNSURE = _phrases(r"\b(possibly|probably|maybe|may|might|likely)\b")
NO_CAUSE = frozenset(
    {"the", "this", "a", "task", "tool", "job", "app", "has", "was", "is", "failed", "error"}
)
"""Words that say no more than that a task failed."""
BY_USER = _phrases(r"\b(abort|cancel|stopp|terminat)\w*[^.;]{0,20}\bby (a |the |another )?user\b")
OWN_FAULT = _phrases(
    r"\b(internal|system|infrastructure|unexpected|platform) (error|failure|problem|fault)\b",
    r"\bplatform was stopped\b",
    r"\bfailed to (create|start|query) docker\b",
    r"\bno instances?( is| are)? (currently )?(available|free)\b",
    r"\b(no|insufficient|not enough|lack of)( \w+)? capacity\b",
)
EXIT_STATUS = _phrases(r"\bexit(?:ed)? (?:with )?(?:code|status)[: ]{1,2}([0-9]{1,3})\b")

# In what the command itself wrote, where only the exact words count: a program may speak of memory
# and disks in many harmless ways.
NO_SPACE_WORDS = re.compile(r"No space left on device|Disk quota exceeded|\bENOSPC\b")
NO_MEMORY_WORDS = re.compile(
    r"java\.lang\.OutOfMemoryError|^MemoryError\b|std::bad_alloc|Cannot allocate memory"
    r"|died with <Signals\.SIGKILL|non-zero exit status 137|Out of memory: Killed process"
    r"|oom-kill",
    re.MULTILINE,
)
NO_PROGRAM_WORDS = re.compile("non-zero exit status 127")
NO_PACKAGE_WORDS = re.compile(
    "command not found|No module named|there is no package called|there is no package named"
)
NO_FILE_WORDS = re.compile(
    r"No such file|FileNotFound|not exist|not found"
    r"|\b(no|an|without|missing|requires?) index|only works for indexed"
    r"|(not|n't|fail(ed|s|ure)? to|unable to|error) (be )?(open|load|read|retriev|locat|f[io]u?nd)",
    re.IGNORECASE,
)
"""What programs say if a file is not there; only a reason to look whether there was one."""
NO_SUCH_FILE_WORDS = re.compile(r"No such file or directory|FileNotFoundError")
FORBIDDEN_WORDS = re.compile(r"Permission denied|Read-only file system")

NOT_PARSED = re.compile(
    r'^\w+ in file "[^"\n]+", line \d+:\n(?:(?!.*(?:Building DAG|No module)).*\n)*?'
    r'  File "[^"\n]+", line \d+, in <module>',
    re.MULTILINE,
)
"""Snakemake, of an error in the code of a Snakefile itself, outside of rules; packages that are not
there are another matter."""
NOT_IMPORTED = re.compile(
    r'^ModuleNotFoundError in file "[^"\n]+", line \d+:\nNo module named \'[\w.]+\'', re.MULTILINE
)
"""Snakemake, of a package that the code of a Snakefile imports."""
