"""sidelb-cli completion: the scripts in real shells, against a daemon and without one.

A daemon on a busy machine may not answer within the 300 ms that completion gives it, so that names
are asked for until they come.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

from cli_test import CliCase
from harness import BIN, LIMIT, main, upsert

# Prints what the script offers for the line in $LINE, as bash would ask it at the end of the line.
ASK_BASH = r"""
source <(sidelb-cli completion bash)
COMP_LINE=$LINE COMP_POINT=${#LINE}
mapfile -t COMP_WORDS <<< "$WORDS"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
_sidelb_cli sidelb-cli "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def words_of(line):
    """As bash breaks a line at blanks, : and =."""
    words = re.findall(r"[:=]+|[^\s:=]+", line)
    return words + [""] if line[-1] in " :=" else words


class CompletionCase(CliCase):

    def shell_environment(self, endpoint, **variables):
        return self.environment(endpoint, **variables, PATH=f"{BIN}:{os.environ['PATH']}")

    def ask_bash(self, line, endpoint=None):
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", ASK_BASH], capture_output=True, text=True,
            env=self.shell_environment(endpoint, LINE=line, WORDS="\n".join(words_of(line))),
            timeout=LIMIT, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def assert_offers(self, expected, ask, *arguments):
        end = time.monotonic() + LIMIT
        while (offered := ask(*arguments)) != expected and time.monotonic() < end:
            pass
        self.assertEqual(offered, expected)


class Bash(CompletionCase):

    def test_offers_verbs_options_and_names(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        client.apply(upsert("default", b.address), owner="api:deploy")
        endpoint = daemon.endpoint

        for line, expected in (
                ("sidelb-cli dr", ["drain"]),
                ("sidelb-cli drain ", ["default"]),
                ("sidelb-cli drain default ", sorted([a.address, b.address])),
                ("sidelb-cli audit --owner api", ["api:deploy"]),
                ("sidelb-cli drain default --dr", ["--dry-run"])):
            self.assert_offers(expected, self.ask_bash, line, endpoint)

    def test_goes_on_behind_a_colon_and_an_equals_sign(self):
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)
        host, port = a.address.split(":")

        # bash replaces only what stands behind the break.
        for line, expected in ((f"sidelb-cli drain default {host}:", [port]),
                               (f"sidelb-cli drain default {host}:{port[:2]}", [port]),
                               ("sidelb-cli add pool b --mode=p", ["p2c"])):
            self.assert_offers(expected, self.ask_bash, line, daemon.endpoint)

    def test_is_silent_without_a_daemon(self):
        nowhere = f"unix:{self.folder}/nowhere.sock"

        self.assertEqual(self.ask_bash("sidelb-cli drain ", nowhere), [])
        self.assertEqual(self.ask_bash("sidelb-cli drain "), [])
        self.assertEqual(self.ask_bash("sidelb-cli dr", nowhere), ["drain"])

    def test_leaves_files_to_bash(self):
        for name in ("one.json", "two.json"):
            Path(self.folder, name).write_text("{}")

        self.assertEqual(self.ask_bash(f"sidelb-cli apply -f {self.folder}/t"),
                         [f"{self.folder}/two.json"])


class Shells(CompletionCase):

    def need(self, shell):
        if shutil.which(shell) is None:
            self.skipTest(f"{shell} is not installed: its script is not checked")

    def type_into(self, *command, prepare):
        """Has the shell describe a backend, of which only the beginnings are typed."""
        self.need(command[0])
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe(command[0], command,
                       self.shell_environment(daemon.endpoint, TERM="dumb", PS1="ready> ",
                                              PROMPT="ready> ", ZDOTDIR=self.folder))
        try:
            self.read_until(terminal, "ready> ")
            os.write(terminal, f"{prepare}; echo prep''ared\n".encode())
            self.read_until(terminal, r"prepared\r?\n.*ready> ")
            end, seen = time.monotonic() + LIMIT, ""
            while "Backend:" not in seen and time.monotonic() < end:
                os.write(terminal, f"sidelb-cli descr\tdef\t{a.address[:-2]}\t\n".encode())
                seen = self.read_until(terminal, r"Backend: .*ready> |error: .*ready> ")
            self.assertRegex(seen, rf"Backend: +{a.address}")
        finally:
            os.close(terminal)
            os.waitpid(child, 0)

    def read_until(self, terminal, pattern):
        end, text = time.monotonic() + LIMIT, ""
        while not re.search(pattern, text, re.DOTALL):
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, f"no {pattern!r} in {text!r}")
            text += os.read(terminal, 4096).decode()
        return text

    def test_bash_completes_what_a_person_types(self):
        self.type_into("bash", "--norc", "--noprofile", "-i",
                       prepare="source <(sidelb-cli completion bash)")

    def test_zsh_completes_what_a_person_types(self):
        self.type_into("zsh", "-f", "-i",
                       prepare="autoload -Uz compinit; compinit -u -D; "
                               "source <(sidelb-cli completion zsh)")

    def test_fish_offers_verbs_and_names(self):
        self.need("fish")
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)

        def ask(line):
            return subprocess.run(
                ["fish", "--no-config", "-c",
                 "sidelb-cli completion fish | source; complete -C $argv[1]", line],
                capture_output=True, text=True, timeout=LIMIT, check=True,
                env=self.shell_environment(daemon.endpoint, HOME=self.folder)).stdout.split()

        self.assert_offers(["drain"], ask, "sidelb-cli dr")
        self.assert_offers([a.address], ask, "sidelb-cli drain default 12")
        self.assert_offers(["p2c"], ask, "sidelb-cli mode default p")

    def test_the_scripts_are_well_formed(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell=shell):
                if shutil.which(shell) is None:
                    self.skipTest(f"{shell} is not installed: its script is not checked")
                script = Path(self.folder, f"script.{shell}")
                script.write_text(self.run_cli("completion", shell).stdout)
                done = subprocess.run([shell, "-n", script], capture_output=True, text=True,
                                      timeout=LIMIT, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    main()
