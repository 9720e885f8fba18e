"""A program of a user who may read nothing: asks for one secret and prints what it hears."""

import http.client
import json
import os
import socket
import sys

agent = http.client.HTTPConnection("keyside", timeout=10)
agent.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
agent.sock.connect(os.environ["KEYSIDE_SOCKET"])
agent.request("GET", f"/v1/secrets/{sys.argv[-1]}/value")
answer = agent.getresponse()
print(answer.status, json.loads(answer.read())["code"])
