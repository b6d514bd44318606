"""The entrypoint of the image, without the image: the variables are those of a container."""

import os

from harness import BIN, ROOT, Program, SideLb

ENTRYPOINT = ROOT / "docker/entrypoint"


def environment_of(variables):
    return {"PATH": f"{BIN}:{os.environ['PATH']}", **variables}


class EntrypointDaemon(SideLb):
    """The daemon as `sidelb-daemon` with these variables, and arguments of the test, starts it."""

    def __init__(self, folder, *arguments, variables, namespace=None):
        command = [ENTRYPOINT, "sidelb-daemon"]
        super().__init__(folder, *arguments, environment=environment_of(variables),
                         command=namespace.wrap(command) if namespace else command)


def run_entrypoint(*arguments, variables):
    """The ended program: exit code by wait(), texts by text()."""
    program = Program("entrypoint", command=[str(ENTRYPOINT), *arguments],
                      environment=environment_of(variables))
    program.wait()
    return program
