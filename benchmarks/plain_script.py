"""What a user would write without the plugin: one task per job with the provider's own client.

Tasks are created, started and polled one by one, as the documentation of `sevenbridges-python`
shows it, and the rate limit is left to the client's own handler. Run by the benchmarks.
"""

from __future__ import annotations

import argparse
import os
import time

from sevenbridges import Api
from sevenbridges.http.error_handlers import rate_limit_sleeper

APP = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "arguments": ["echo $(inputs.text) > result.txt"],
    "inputs": [{"id": "text", "type": "string"}],
    "outputs": [{"id": "result", "type": "File", "outputBinding": {"glob": "result.txt"}}],
}
ENDED = ("COMPLETED", "FAILED", "ABORTED")


def main() -> None:
    """Start all tasks, then look at each of them every `--period` seconds until it has ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--period", type=float, required=True)
    options = parser.parse_args()
    api = Api(
        url=os.environ["SB_API_ENDPOINT"],
        token=os.environ["SB_AUTH_TOKEN"],
        debug=True,  # allows http on this machine
        error_handlers=[rate_limit_sleeper],
    )
    app = api.apps.install_app(id=f"{options.project}/plain", raw=APP)
    tasks = []
    for number in range(options.jobs):
        task = api.tasks.create(
            name=f"job {number}", project=options.project, app=app.id, inputs={"text": str(number)}
        )
        task.run()
        tasks.append(task)
    while tasks:
        time.sleep(options.period)
        for task in tasks:
            task.reload()
        tasks = [task for task in tasks if task.status not in ENDED]


if __name__ == "__main__":
    main()
