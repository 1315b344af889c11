"""Client of `tests.forked_command`: hands over streams, arguments, environment and folder.

It passes signals on to the command, and ends as the command does.
"""

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_, path, *arguments = sys.argv
asked = {"arguments": arguments, "env": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(path)
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    command = int(server.recv(16))
    for number in PASSED_ON:
        signal.signal(number, lambda given, _frame: os.kill(command, given))
    code = int(server.recv(16))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
