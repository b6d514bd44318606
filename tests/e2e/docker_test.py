"""The image and docker-compose.yml, on a real engine. scripts/docker.sh makes the images.

Environment, besides the harness's: SIDELB_IMAGE and SIDELB_DEMO_IMAGE are the images to test.
"""

import contextlib
import json
import os
import subprocess
import time

from harness import LIMIT, ROOT, TestCase, http_get, main

IMAGE = os.environ.get("SIDELB_IMAGE", "sidelb")
DEMO_IMAGE = os.environ.get("SIDELB_DEMO_IMAGE", "sidelb-demo")
NAME = f"sidelb-test-{os.getpid()}"
STOP_LIMIT = 10  # seconds: what `docker stop` gives before it kills


def run(*command, check=True, environment=None):
    """The ended process, with its texts; a failure shows them."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                            timeout=2 * LIMIT, check=False, stdin=subprocess.DEVNULL,
                            env={**os.environ, **(environment or {})})
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {result.returncode}:\n"
                             f"{result.stdout}{result.stderr}")
    return result


def docker(*arguments, **options):
    return run("docker", *arguments, **options)


class DockerTest(TestCase):

    @classmethod
    def setUpClass(cls):
        docker("network", "create", NAME)
        cls.addClassCleanup(docker, "network", "rm", NAME)

    def start(self, image, *arguments, options=()):
        """A container on the network of the tests; its id."""
        container = docker("run", "--detach", "--network", NAME, *options, image,
                           *arguments).stdout.strip()
        self.addCleanup(docker, "rm", "--force", "--volumes", container)
        return container

    def start_backend(self, name):
        """A demo backend; its address."""
        container = self.start(DEMO_IMAGE, "sidelb-demo-backend", "--listen", "0.0.0.0:9000",
                               "--name", name)
        networks = docker("inspect", "--format", "{{json .NetworkSettings.Networks}}",
                          container).stdout
        return json.loads(networks)[NAME]["IPAddress"] + ":9000"

    def start_balancer(self, *backends, arguments=(), options=()):
        """The daemon as a user starts it; its id and the address where it is published."""
        container = self.start(
            IMAGE, *arguments,
            options=("--publish", "127.0.0.1::8080", "--env", "SIDELB_BIND_ADDR=0.0.0.0:8080",
                     "--env", "SIDELB_BACKENDS=" + ",".join(backends),
                     "--health-interval", "1s", "--health-retries", "1", *options))
        return container, docker("port", container, "8080").stdout.split()[0]

    def wait_healthy(self, container, status="healthy"):
        """Waits for an event of its health check; those of the past count."""
        created = docker("inspect", "--format", "{{.Created}}", container).stdout.strip()
        events = self.start_program("docker events", command=[
            "docker", "events", "--since", created, "--filter", f"container={container}",
            "--filter", "event=health_status"])
        events.wait_line(rf"health_status: {status}\b")


class Entrypoint(DockerTest):

    def run_image(self, *arguments, options=()):
        return docker("run", "--rm", "--network", "none", *options, IMAGE, *arguments, check=False)

    def test_a_missing_address_is_a_clear_error(self):
        for arguments in ((), ("sidelb-daemon",)):
            with self.subTest(arguments=arguments):
                result = self.run_image(*arguments)
                self.assertEqual(result.returncode, 1)
                self.assertIn("SIDELB_BIND_ADDR is not set", result.stderr)

    def test_variables_become_the_command_that_it_prints(self):
        variables = {"SIDELB_BIND_ADDR": "0.0.0.0:8080", "SIDELB_BACKENDS": "10.0.0.1:80,10.0.0.2:80",
                     "SIDELB_MODE": "least-connections", "SIDELB_PROTO": "nonsense"}
        options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]

        result = self.run_image("sidelb-daemon", "--shards", "1", options=options)

        self.assertIn("Executing: sidelb 0.0.0.0:8080 backends=10.0.0.1:80,10.0.0.2:80 "
                      "mode=least-connections proto=nonsense --shards 1\n", result.stdout)
        self.assertEqual(result.returncode, 2, "the daemon itself refuses the protocol")
        self.assertIn("proto=nonsense", result.stderr)

    def test_defaults_are_those_of_the_original(self):
        result = self.run_image(options=["-e", "SIDELB_BIND_ADDR=nonsense"])

        self.assertIn("Executing: sidelb nonsense mode=round-robin proto=tcp\n", result.stdout)

    def test_another_command_is_executed_without_being_root(self):
        result = self.run_image("id", "-u")

        self.assertEqual((result.returncode, result.stdout), (0, "10001\n"))

    def test_what_is_no_command_goes_to_sidelb(self):
        self.assertIn("sidelb 0.", self.run_image("--version").stdout)
        self.assertIn("Usage: sidelb", self.run_image("help").stdout)
        result = self.run_image("10.0.0.1")
        self.assertEqual(result.returncode, 2)
        self.assertIn("10.0.0.1", result.stderr)

    def test_the_clients_are_in_it(self):
        self.assertEqual(self.run_image("sidelb-cli", "version").returncode, 0)


class Daemon(DockerTest):

    def test_traffic_goes_to_every_backend_and_the_health_check_follows(self):
        backends = [self.start_backend(name) for name in ("a", "b")]
        container, address = self.start_balancer(
            *backends, options=("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
                                "--volume", "/run/sidelb"))
        self.wait_healthy(container)

        self.assertEqual({http_get(address) for _ in range(4)}, {"a", "b"})

        docker("exec", container, "sidelb-cli", "disable", "default", "--all")
        self.wait_healthy(container, "unhealthy")

    def test_it_is_pid_1_and_not_root(self):
        container, _ = self.start_balancer("127.0.0.1:1")

        status = docker("exec", container, "cat", "/proc/1/comm", "/proc/1/status").stdout

        self.assertTrue(status.startswith("sidelb\n"), status)
        self.assertIn("Uid:\t10001\t10001\t10001\t10001", status)

    def test_orphans_leave_no_zombies(self):
        container, _ = self.start_balancer("127.0.0.1:1")

        for _ in range(3):
            docker("exec", container, "sh", "-c", "sh -c 'exit 0' & exit 0")

        # It may still be ending; a zombie would stay.
        while "(sh)" in docker("exec", container, "sh", "-c",
                               "exec cat /proc/[0-9]*/stat").stdout:
            self.assertLess(time.monotonic(), self.started + LIMIT, "orphans are not reaped")

    def test_stop_ends_with_0_with_a_session_open(self):
        container, address = self.start_balancer(self.start_backend("a"))
        self.wait_healthy(container)
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        begin = time.monotonic()
        docker("stop", container)

        self.assertLess(time.monotonic() - begin, STOP_LIMIT)
        state = json.loads(docker("inspect", "--format", "{{json .State}}", container).stdout)
        self.assertEqual((state["ExitCode"], state["OOMKilled"]), (0, False))
        session.wait_for_end()
        self.assertIn("1 connections are reset", docker("logs", container).stderr)

    def test_stop_is_quick_without_sessions(self):
        container, _ = self.start_balancer("127.0.0.1:1")

        begin = time.monotonic()
        docker("stop", container)

        self.assertLess(time.monotonic() - begin, STOP_LIMIT / 2)
        self.assertEqual(docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout,
                         "0\n")

    def setUp(self):
        super().setUp()
        self.started = time.monotonic()


class Compose(TestCase):
    """docker-compose.yml with the images of the test and a port that is free."""

    def setUp(self):
        super().setUp()
        services = {"sidelb": {"image": IMAGE}, "sidelb-cli": {"image": IMAGE},
                    "backend": {"image": DEMO_IMAGE}}
        self.override = f"{self.folder}/override.json"
        with open(self.override, "w", encoding="utf-8") as file:
            json.dump({"services": services}, file)
        self.environment = {"SIDELB_PUBLISH": "127.0.0.1:"}
        self.addCleanup(self.compose, "down", "--volumes", "--timeout", "1")

    def compose(self, *arguments):
        return run("docker-compose", "--project-name", NAME, "--file", ROOT / "docker-compose.yml",
                   "--file", self.override, *arguments, environment=self.environment)

    def start(self, count):
        """Everything up, with so many backends; the address of the front."""
        self.compose("up", "--detach", "--no-build", "--scale", f"backend={count}")
        return self.compose("port", "sidelb", "8080").stdout.strip()

    def wait_for_names(self, address, count):
        """Waits until so many backends answer; what is refused until then is tried again."""
        names = set()
        end = time.monotonic() + LIMIT
        while len(names) < count:
            self.assertLess(time.monotonic(), end, f"only {names} answered")
            with contextlib.suppress(OSError):
                names.add(http_get(address))

    def test_backends_scale_behind_it_and_the_cli_runs_beside_it(self):
        address = self.start(3)
        self.wait_for_names(address, 3)

        listed = self.compose("run", "--rm", "sidelb-cli", "get", "backends").stdout
        self.assertEqual(listed.count(":9000"), 3, listed)

        self.start(4)
        self.wait_for_names(address, 4)


if __name__ == "__main__":
    main()
