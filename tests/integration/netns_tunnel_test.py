"""An agent where nobody can dial in: three network namespaces in a row.

    gateway (10.77.1.1) ---- router (10.77.1.2 | 10.77.2.1) ---- home (10.77.2.2)

The router forwards no packets: it runs one relay and one HTTP proxy, so the home can reach the
gateway's door and the gateway has no route to the home. Requests must flow all the same.
Needs unprivileged user namespaces; skipped (77) where they are not allowed.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUILD = pathlib.Path(os.environ.get("TRIBUTARY_BUILD", "build/dev")).resolve()
YARD = BUILD / "tests" / "integration" / "netns_yard"
DOOR = 8443
REQUESTS = 24
GATEWAY, ROUTER_OUT, ROUTER_IN, HOME = "10.77.1.1", "10.77.1.2", "10.77.2.1", "10.77.2.2"


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def join(client, target):
    server = socket.create_connection(target, 5)
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    threading.Thread(target=pump, args=(server, client), daemon=True).start()


def proxy(client):
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096)
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    host, port = target.rsplit(":", 1)
    if method != "CONNECT" or (host, int(port)) != (GATEWAY, DOOR):
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return client.close()
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    join(client, (host, int(port)))


def router():
    """Runs in the router's namespace."""
    relay_door = socket.create_server((ROUTER_IN, DOOR))
    proxy_door = socket.create_server((ROUTER_IN, 3128))

    def serve(door, take):
        while True:
            client, _ = door.accept()
            threading.Thread(target=take, args=(client,), daemon=True).start()

    threading.Thread(target=serve, args=(proxy_door, proxy), daemon=True).start()
    print("up", flush=True)
    serve(relay_door, lambda client: join(client, (GATEWAY, DOOR)))


class Engine(BaseHTTPRequestHandler):
    """An engine in the home, on its loopback only."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        models = json.dumps({"data": [{"id": "tiny", "owned_by": "llamacpp"}]}).encode()
        self.answer(200, models) if self.path == "/v1/models" else self.answer(404, b"{}")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, b"x" * (1000 * (asked["n"] + 1)))

    def log_message(self, *_):
        pass


def engine():
    server = ThreadingHTTPServer(("127.0.0.1", 9001), Engine)
    print("up", flush=True)
    server.serve_forever()


class Space:
    """A network namespace, held by a process that waits."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"],
                                       stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.pid = str(self.holder.pid)

    def words(self, command):
        return ["nsenter", "-t", self.pid, "-n", *command]

    def run(self, *command, **options):
        return subprocess.run(self.words(command), check=True, **options)

    def start(self, *command):
        return subprocess.Popen(self.words(command), stdout=subprocess.PIPE, text=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def lay_cables():
    ip("link", "set", "lo", "up")
    route, home = Space(), Space()
    ip("link", "add", "g0", "type", "veth", "peer", "name", "r0", "netns", route.pid)
    ip("addr", "add", GATEWAY + "/24", "dev", "g0")
    ip("link", "set", "g0", "up")
    route.run("ip", "link", "add", "r1", "type", "veth", "peer", "name", "h0", "netns", home.pid)
    for space, device, address in ((route, "r0", ROUTER_OUT), (route, "r1", ROUTER_IN), (home, "h0", HOME)):
        space.run("ip", "addr", "add", address + "/24", "dev", device)
        space.run("ip", "link", "set", device, "up")
    return route, home


def listeners(space):
    """(address, port) of every TCP socket that listens in the namespace."""
    out = subprocess.run(space.words(["cat", "/proc/net/tcp"]), capture_output=True, text=True, check=True).stdout
    found = []
    for line in out.splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if state == "0A":
            address, port = local.split(":")
            found.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def scenario(home, folder, through_proxy):
    gateway = subprocess.Popen([YARD, "gateway", GATEWAY, str(DOOR), folder / "gateway", str(REQUESTS)],
                               stdout=subprocess.PIPE, text=True)
    agent = None
    try:
        token = gateway.stdout.readline().split()[1]
        config = folder / "agent.yaml"
        place = f"{GATEWAY}:{DOOR}" if through_proxy else f"{ROUTER_IN}:{DOOR}"
        config.write_text(f"agent:\n  gateway: https://{place}\n  state: {folder}/agent\n"
                          + (f"  proxy: http://{ROUTER_IN}:3128\n" if through_proxy else "")
                          + "engines:\n  - url: http://127.0.0.1:9001\n    capacity: 64\n")
        home.run(YARD, "enrol", token, config)
        agent = home.start(YARD, "agent", config)
        answers = {}
        for line in gateway.stdout:
            word, number, status, size, *why = line.split()
            assert word == "answer", line
            answers[int(number)] = (int(status), int(size), why)
        assert gateway.wait(10) == 0, answers
        assert answers == {n: (200, 1000 * (n + 1), []) for n in range(REQUESTS)}, answers
        # Nothing at home listens for the outside, and there is no way to it.
        assert listeners(home) == [("127.0.0.1", 9001)], listeners(home)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0
    finally:
        for process in (gateway, agent):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def main():
    route, home = lay_cables()
    assert subprocess.run(["cat", "/proc/sys/net/ipv4/ip_forward"], capture_output=True, text=True).stdout.strip() == "0"
    try:
        socket.create_connection((HOME, 9001), 1)
        raise AssertionError("the gateway can reach the home")
    except OSError as error:
        print(f"no way in: {error}")
    this = str(pathlib.Path(__file__).resolve())
    helpers = [route.start(sys.executable, this, "router"), home.start(sys.executable, this, "engine")]
    for helper in helpers:
        assert helper.stdout.readline() == "up\n"
    for through_proxy in (False, True):
        with tempfile.TemporaryDirectory(prefix="tributary-netns-") as folder:
            scenario(home, pathlib.Path(folder), through_proxy)
        print("through the proxy" if through_proxy else "through the relay", f"{REQUESTS} requests: ok")
    for helper in helpers:
        helper.kill()
    for space in (route, home):
        space.holder.kill()


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "router":
        router()
    elif what == "engine":
        engine()
    elif what == "inside":
        main()
    else:
        if not YARD.exists():
            print(f"SKIPPED: {YARD} is not built")
            sys.exit(77)
        inside = ["unshare", "-Urnm", "--kill-child"]
        if subprocess.run([*inside, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
            print("SKIPPED: user and network namespaces are not allowed here")
            sys.exit(77)
        started = time.monotonic()
        code = subprocess.run([*inside, sys.executable, os.path.abspath(__file__), "inside"]).returncode
        print(f"{time.monotonic() - started:.1f} s")
        sys.exit(code)
