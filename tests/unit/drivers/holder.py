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
while True:
    connection, _ = listener.accept()
    with contextlib.suppress(OSError): connection.sendall(json.dumps({"pid": os.getpid(), "host": socket.gethostname(),
        "seen": sorted(os.listdir(os.path.dirname(os.path.dirname(config["root"])))),
        "environ": dict(os.environ)}).encode())
    connection.close()
"""

HOLDER = (sys.executable, "-c", CODE)
