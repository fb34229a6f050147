"""Runs localstripe for this machine alone, on any free port, which is the first line that it prints."""

import socket

from aiohttp import web
from localstripe.server import app

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, print=None)
