"""The main job, step by step: an estate in Azure, a Key Vault's secrets beside a pipeline and around a job, and the way back.

Every step is checked. The exit code is 0 only if all of them held.
"""

import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT_FOLDER = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT_FOLDER / "target")) / "debug"
PACKAGE = ROOT_FOLDER / "agent" / "python"
VAULT = "demo-vault"
PIPELINE_UID = 64201
STRANGER_UID = 64202
ROOT = os.geteuid() == 0
DEADLINE_SECONDS = 30

TENANT = "11111111-1111-4111-8111-111111111111"
OPERATOR = "22222222-2222-4222-8222-222222222222"
OPERATOR_SECRET = "demo-operator-secret"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"

# A subscription with nothing in it but a machine to train on, and an application that owns it.
SEED = f"""
[directory]
tenant = "{TENANT}"
[[directory.applications]]
app_id = "{OPERATOR}"
object_id = "33333333-3333-4333-8333-333333333333"
secrets = ["{OPERATOR_SECRET}"]
[subscription]
id = "{SUBSCRIPTION}"
registered_providers = ["Microsoft.Compute"]
[[subscription.role_assignments]]
principal = "33333333-3333-4333-8333-333333333333"
role = "Owner"
[[subscription.virtual_machines]]
name = "trainer"
resource_group = "machines"
location = "westeurope"
"""

ESTATE = """\
subscription = "{subscription}"
tenant = "{tenant}"
location = "westeurope"
prefix = "demo"

[vault]
name = "{vault}"

[workspace]

[agent_identity]

[agent]
readers = ["uid:{reader}"]
runs_on = "virtual-machine"
compute = "/subscriptions/{subscription}/resourceGroups/machines/providers/Microsoft.Compute/virtualMachines/trainer"
socket = "{run}/agent.sock"
files = "{run}/secrets"

[[secret]]
name = "db-password"
from_env = "DB_PASSWORD"

[[secret]]
name = "api-token"
from_env = "API_TOKEN"
"""


class Failed(Exception):
    """A step that did not hold."""


def check(holds: object, what: str) -> None:
    if not holds:
        raise Failed(what)


class Skipped(Exception):
    """A step that this user cannot take."""


def say(step: str, text: str) -> None:
    print(f"  {step:<9} {text}", flush=True)


def until(what: str, holds) -> None:
    """Waits for an event under a deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        check(time.monotonic() < end, f"{what} did not happen within {DEADLINE_SECONDS} s")
        time.sleep(0.02)


def emulator(folder: pathlib.Path, *arguments: str, text: str = "") -> str:
    command = [TARGET / "keyside-emulator", *arguments, "--dir", folder]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def exports(text: str) -> dict[str, str]:
    """The variables of `export NAME='value'` lines."""
    lines = (line.removeprefix("export ").split("=", 1) for line in text.splitlines() if line.startswith("export "))
    return {name: value.strip("'\"") for name, value in lines}


def keyside(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([TARGET / "keyside", *arguments], env=variables, capture_output=True, timeout=DEADLINE_SECONDS)


def copies_in_memory(pid: int, value: bytes) -> int:
    """How often a value lies in memory of a process that root can read."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(number, 16) for number in line.split(" ", 1)[0].split("-"))
            try:
                memory.seek(start)
                found += memory.read(end - start).count(value)
            except (OSError, ValueError, OverflowError):
                continue  # secret memory, and the kernel's own pages: nobody can read these
    return found


def copies_in_files(folder: pathlib.Path, values: list[bytes]) -> int:
    """How many files below a folder hold one of the values."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(any(value in path.read_bytes() for value in values) for path in files)


class Demo:
    """One run: its folder on tmpfs, its processes and its secrets, all gone at the end."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.azure = folder / "azure"
        self.processes: list[subprocess.Popen] = []
        self.first, self.second, self.token, self.next_token = (secrets.token_urlsafe(24) for _ in range(4))
        self.reader = PIPELINE_UID if ROOT else os.getuid()
        self.access = {"KEYSIDE_SOCKET": f"{self.run}/agent.sock", "KEYSIDE_SECRETS_DIR": f"{self.run}/secrets"}

    def start(self, *command: object, **options) -> subprocess.Popen:
        process = subprocess.Popen([str(word) for word in command], **options)
        self.processes.append(process)
        return process

    def start_azure(self) -> None:
        (self.folder / "seed.toml").write_text(SEED)
        command = [TARGET / "keyside-emulator", "serve", "--dir", self.azure, "--listen", "127.0.0.1:0"]
        command += ["--proxy", "127.0.0.1:0", "--seed", self.folder / "seed.toml"]
        process = self.start(*command, stdout=subprocess.PIPE, text=True)
        check(process.stdout.readline().strip() == "ready", "the emulator does not start")
        self.cloud = exports(emulator(self.azure, "env"))
        say("azure", "an emulated Azure with a subscription that holds one machine and nothing else")

    def bootstrap(self, *words: str, text: str = "", **variables: str) -> str:
        """Runs `keyside-bootstrap` as the operator, and gives what it printed."""
        operator = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": OPERATOR, "AZURE_CLIENT_SECRET": OPERATOR_SECRET}
        command = [TARGET / "keyside-bootstrap", *words, "--config", "estate.toml"]
        options = {"cwd": self.folder, "env": {**self.cloud, **operator, **variables}, "timeout": DEADLINE_SECONDS}
        run = subprocess.run(command, input=text, capture_output=True, text=True, **options)
        check(run.returncode == 0, f"keyside-bootstrap {' '.join(words)}: {run.stdout}{run.stderr}")
        values = (self.first, self.second, self.token, self.next_token)
        check(not any(value in run.stdout + run.stderr for value in values), "keyside-bootstrap shows a value")
        return run.stdout

    def provision(self) -> None:
        estate = ESTATE.format(subscription=SUBSCRIPTION, tenant=TENANT, vault=VAULT, reader=self.reader, run=self.run)
        (self.folder / "estate.toml").write_text(estate)
        secrets_of_estate = {"DB_PASSWORD": self.first, "API_TOKEN": self.token}
        say("plan", self.summary(self.bootstrap("plan", **secrets_of_estate)))
        applied = self.bootstrap("apply", "--yes", **secrets_of_estate)
        check("key_vault_uri" in applied and (self.folder / "agent.toml").exists(), "apply leaves no configuration")
        say("apply", "a vault, a workspace, an identity with the right to read, two secrets; wrote agent.toml")
        again = self.bootstrap("apply", "--yes", **secrets_of_estate)
        check("Nothing to do" in again, "a second apply finds something to do")
        say("again", self.summary(again))

    @staticmethod
    def summary(text: str) -> str:
        """The line of a plan that counts."""
        lines = [line for line in text.splitlines() if line.startswith(("Plan:", "Nothing to do"))]
        check(lines, "a plan without a count")
        return lines[0]

    def start_agent(self) -> None:
        check(f"https://{VAULT}.vault.azure.net" in (self.folder / "agent.toml").read_text(), "another vault is configured")
        with open(self.folder / "agent.log", "wb") as log:
            command = [TARGET / "keyside", "agent", "--config", self.folder / "agent.toml"]
            self.agent = self.start(*command, env=self.cloud, stderr=log)
        until("readiness", lambda: self.agent.poll() is not None or keyside("health", "--ready", **self.access).returncode == 0)
        check(self.agent.poll() is None, (self.folder / "agent.log").read_text())
        say("agent", "signed in by the machine's identity, fetched both through a proxy and TLS, keeps them locked")

    def start_pipeline(self) -> None:
        command = [sys.executable, HERE / "pipeline.py"]
        if ROOT:
            command = [sys.executable, "-c", AS_USER, HERE / "pipeline.py", PIPELINE_UID]
        self.pipeline = self.start(*command, env=self.access, stdout=subprocess.PIPE, text=True)
        who = f"uid {PIPELINE_UID}" if ROOT else "this user: only root can take another"
        say("pipeline", f"started as {who}; it knows a socket and a folder, no vault")
        for _ in range(2):
            line = self.pipeline.stdout.readline().strip()
            check(line, "the pipeline does not get its secrets")
            say("pipeline", line)

    def rotate(self) -> None:
        self.bootstrap("secret", "set", "db-password", text=self.second)
        refresh = [sys.executable, "-c", REFRESH, self.access["KEYSIDE_SOCKET"]]
        subprocess.run(refresh, check=True)
        say("rotate", "a new version of db-password in the vault; the agent is told to look now, not in two minutes")
        line = self.pipeline.stdout.readline().strip()
        check(line.startswith("change:"), "the pipeline does not notice the rotation")
        check(self.pipeline.wait(DEADLINE_SECONDS) == 0, "the pipeline ends with an error")
        say("pipeline", line)
        file = (self.run / "secrets" / "db-password").read_bytes()
        check(file == self.second.encode(), "the file does not follow the rotation")

    def refuse(self) -> None:
        if not ROOT:
            raise Skipped("the refusal of another user: only root can take another user id")
        hidden, absent = (self.as_stranger(name) for name in ("db-password", "no-such-secret"))
        check(hidden.startswith("404 "), f"a stranger hears: {hidden}")
        check(hidden == absent, "a stranger hears something else than for an absent secret")
        say("stranger", f"uid {STRANGER_UID} asks for db-password and hears {hidden}, as for a name that does not exist")

    def as_stranger(self, name: str) -> str:
        """The status that another user gets, and the error's code."""
        command = [sys.executable, "-c", AS_USER, HERE / "stranger.py", str(STRANGER_UID), name]
        return subprocess.run(command, env=self.access, capture_output=True, text=True, check=True).stdout.strip()

    def scan(self) -> None:
        try:
            known = copies_in_memory(self.agent.pid, f"https://{VAULT}.vault.azure.net".encode())
        except PermissionError:
            raise Skipped("the scan of the agent's memory: only root with CAP_SYS_PTRACE may read it") from None
        check(known, "the scan does not even find the vault's address")
        old, live = (copies_in_memory(self.agent.pid, value.encode()) for value in (self.first, self.second))
        check(old == 0, f"the old value is {old} times in the agent's memory")
        check(live <= 1, f"the new value is {live} times in the agent's memory")
        where = "once, locked" if live else "only in secret memory, which not even root can read"
        say("memory", f"of the agent searched: the old value nowhere, the new one {where}")

    def stop(self) -> None:
        self.agent.send_signal(signal.SIGTERM)
        check(self.agent.wait(DEADLINE_SECONDS) == 0, "the agent does not end well")
        left = [path for path in (self.run / "secrets").rglob("*")] + list(self.run.glob("agent.sock"))
        check(not left, f"left behind: {left}")
        self.search_files()
        say("stop", "the agent is gone, and so are its files; no value is left in any file of this demo")

    def search_files(self) -> None:
        values = [value.encode() for value in (self.first, self.second, self.token, self.next_token)]
        check(copies_in_files(self.folder, values) == 0, "a value is left in a file")

    def wrap(self) -> None:
        """The same without a sidecar: one command around another, as in a job of Azure Machine Learning."""
        place = str(self.run / "job.sock")
        script = [sys.executable, HERE / "train.py"]
        command = [TARGET / "keyside", "run", "--socket", place, "--env", "API_TOKEN=api-token", "--", *script]
        variables = {"KEY_VAULT_URL": f"https://{VAULT}.vault.azure.net", "PYTHONPATH": str(PACKAGE)}
        job = self.start(*command, env={**self.cloud, **variables}, stdout=subprocess.PIPE, text=True)
        say("run", "keyside run --env API_TOKEN=api-token -- python train.py")
        say("train.py", self.epoch(job, self.token))
        self.bootstrap("secret", "set", "api-token", text=self.next_token)
        subprocess.run([sys.executable, "-c", REFRESH, place], check=True)
        say("train.py", self.epoch(job, self.next_token))
        check(job.wait(DEADLINE_SECONDS) == 0, "the wrapped script ends with an error")
        check(not (self.run / "job.sock").exists(), "the wrapper leaves its socket")
        self.search_files()
        say("run", "ended as train.py did; its agent is gone, and no value is left in any file")

    def epoch(self, job: subprocess.Popen, value: str) -> str:
        """What the script prints next, which must be about this value."""
        line = job.stdout.readline().strip()
        check(hashlib.sha256(value.encode()).hexdigest()[:8] in line, f"train.py does not get the value: {line}")
        return line

    def destroy(self) -> None:
        self.bootstrap("destroy", "--yes", "--purge", "--even-unseen", DB_PASSWORD=self.first, API_TOKEN=self.token)
        left = self.bootstrap("plan", DB_PASSWORD=self.first, API_TOKEN=self.token)
        check("Plan:" in left, "something is left in the subscription")
        say("destroy", f"all of it is gone from Azure, purged; a new plan would begin anew: {self.summary(left)}")

    def end(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                process.wait(DEADLINE_SECONDS)


# Reads the program, then takes its user id: the other user may not be able to read this folder, or to run this Python.
AS_USER = """
import hashlib, http.client, json, os, socket, sys
path, uid = sys.argv[1], int(sys.argv[2])
with open(path) as file:
    program = compile(file.read(), path, "exec")
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
exec(program)
"""

REFRESH = """
import socket, sys
agent = socket.socket(socket.AF_UNIX)
agent.connect(sys.argv[1])
agent.sendall(b"POST /v1/refresh HTTP/1.1\\r\\nHost: keyside\\r\\nConnection: close\\r\\n\\r\\n")
sys.exit(not agent.recv(64).startswith(b"HTTP/1.1 2"))
"""


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, interrupt)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="keyside-demo-", dir="/dev/shm"))
    folder.chmod(0o755)
    demo = Demo(folder)
    print("Keyside: a Key Vault's secrets beside a program", flush=True)
    steps = (demo.start_azure, demo.provision, demo.start_agent, demo.start_pipeline, demo.rotate)
    steps += (demo.refuse, demo.scan, demo.stop, demo.wrap, demo.destroy)
    skipped = 0
    try:
        for step in steps:
            try:
                step()
            except Skipped as reason:
                skipped += 1
                say("SKIPPED", str(reason))
    except (Failed, subprocess.SubprocessError, OSError) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.end()
        shutil.rmtree(folder)
    print(f"{len(steps) - skipped} steps held, {skipped} skipped, and nothing is left running.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
