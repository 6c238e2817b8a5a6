"""A holder in few lines, for tests of the driver alone: listens, ends on SIGTERM, can leave a child behind."""

import sys

CODE = """
import contextlib, json, os, signal, socket, subprocess, sys, time
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
environment = config["environment"]
if environment.get("DIE"):
    sys.exit("told to die")
if environment.get("CHILD"):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
os.chdir(config["run"])
json.dump({"guest_restarts": 2}, open("holder.json", "w"))
listener = socket.socket(socket.AF_UNIX)
listener.bind("guest.sock")
listener.listen()
signal.signal(signal.SIGTERM, lambda *_: environment.get("STUBBORN") or sys.exit(0))
def write(path):
    try:
        os.close(os.open(path, os.O_WRONLY | (os.O_CREAT if path.endswith("test") else 0)))
        return "opened"
    except OSError:
        return "refused"
TRIED = ("/etc/stead-test", "/usr/stead-test", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs")
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""
def names(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
def look():
    if config["isolation"] != "namespaces":
        return {}
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    return {"tried": {path: write(path) for path in TRIED}, "shadow": read("/etc/shadow"),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        "run": os.listdir("/run"), "kernel": names("/sys/kernel/debug") + names("/sys/kernel/tracing")}
while True:
    connection, _ = listener.accept()
    with contextlib.suppress(OSError): connection.sendall(json.dumps({"pid": os.getpid(), "host": socket.gethostname(),
        "seen": sorted(os.listdir(os.path.dirname(os.path.dirname(config["root"])))),
        "environ": dict(os.environ), **look()}).encode())
    connection.close()
"""

HOLDER = (sys.executable, "-c", CODE)
