#!/usr/bin/env python3
"""Runs an MPI program on machines that are made for it, with a network between them that is as slow as one likes.

    sudo python3 benches/ranks_network.py --hosts 2 --rate 1gbit --delay 1 -- PROGRAM ARGUMENTS...

Every host is a network namespace with a cable to a switch, which is this script: it hands frames on after DELAY
milliseconds, and `tc` limits what a host sends to RATE. It needs Linux, root, `ip`, `tc` and Open MPI, and works where the
kernel has no `netem`. The hosts share the cores of this machine, of which the switch takes a part too.
"""

import argparse
import ctypes
import fcntl
import heapq
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

MTU = 60000  # few frames: the switch is written in Python
NETWORK = "10.213.7"


def sh(command, check=True):
    return subprocess.run(command, shell=True, check=check, stderr=None if check else subprocess.DEVNULL)


def without_offload(interface):
    """Lets the host compute checksums and cut its frames itself, which are lost on the way through a switch in software."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (0x17, 0x1F, 0x23, 0x2C):  # ETHTOOL_STXCSUM, _STSO, _SGSO, _SGRO of linux/ethtool.h
            data = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(data))
            try:
                fcntl.ioctl(any_socket, 0x8946, request)  # SIOCETHTOOL
            except OSError:
                pass  # an interface without it


def switch(ends, delay, stop):
    """Hands every frame on to all other ends, after the delay."""
    sockets = []
    for end in ends:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 1 << 26)
        raw.bind((end, 0))
        sockets.append(raw)
    known, waiting, count = {}, [], 0
    while not stop.is_set():
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, frame = heapq.heappop(waiting)
            for raw in to:
                try:
                    raw.send(frame)
                except OSError:
                    pass  # as on a real cable: what does not fit is lost
        timeout = max(0.0, waiting[0][0] - now) if waiting else 0.2
        for raw in select.select(sockets, [], [], timeout)[0]:
            frame, address = raw.recvfrom(70000)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            known[frame[6:12]] = raw
            target = known.get(frame[:6])
            to = [target] if target else [other for other in sockets if other is not raw]
            count += 1
            heapq.heappush(waiting, (time.monotonic() + delay, count, to, frame))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--rate", default="1gbit", help="what a host sends at most, as tc writes it")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds on the way, each way; 0 leaves the switch to the kernel")
    parser.add_argument("--mca", action="append", default=[], help="a parameter of Open MPI and its value, name=value")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command or os.geteuid() != 0:
        parser.error("expected a command after --, and root")
    hosts = [f"tinder{i}" for i in range(args.hosts)]
    stop, thread = threading.Event(), None
    with tempfile.TemporaryDirectory() as folder:
        agent = os.path.join(folder, "agent")
        with open(agent, "w") as file:
            # What mpirun starts on another host: in its namespace, and under its name.
            file.write('#!/bin/sh\nhost=$1; shift\nexec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"\n')
        os.chmod(agent, 0o755)
        try:
            if args.delay == 0:
                sh("ip link add tinderbr type bridge && ip link set tinderbr mtu 60000 up")
            for i, host in enumerate(hosts):
                os.makedirs(f"/etc/netns/{host}", exist_ok=True)
                with open(f"/etc/netns/{host}/hosts", "w") as file:
                    file.write("127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{j + 1} {name}\n" for j, name in enumerate(hosts)))
                sh(f"ip netns add {host} && ip link add tindersw{i} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {host}")
                inside = f"ip netns exec {host}"
                sh(f"{inside} ip addr add {NETWORK}.{i + 1}/24 dev eth0 && {inside} ip link set eth0 up && {inside} ip link set lo up")
                sh(f"{inside} tc qdisc add dev eth0 root tbf rate {args.rate} burst 256kb latency 400ms")
                sh(f"{inside} {sys.executable} {os.path.abspath(__file__)} --offload", check=True) if args.delay else None
                sh(f"ip link set tindersw{i} up" + ("" if args.delay else " master tinderbr"))
            if args.delay:
                ends = [f"tindersw{i}" for i in range(args.hosts)]
                thread = threading.Thread(target=switch, args=(ends, args.delay / 1e3, stop))
                thread.start()
            mca = {"plm_rsh_agent": agent, "btl": "tcp,self", "btl_tcp_if_include": "eth0", "oob_tcp_if_include": "eth0",
                   "mpi_yield_when_idle": "1", "hwloc_base_binding_policy": "none", "pml": "ob1"}
            mca.update(pair.split("=", 1) for pair in args.mca)
            mpirun = ["ip", "netns", "exec", hosts[0], "unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', hosts[0],
                      "mpirun", "--allow-run-as-root", "-n", str(args.hosts), "-H", ",".join(f"{host}:1" for host in hosts)]
            for name, value in mca.items():
                mpirun += ["--mca", name, value]
            return subprocess.run(mpirun + command, check=False).returncode
        finally:
            stop.set()
            if thread:
                thread.join()
            for host in hosts:
                sh(f"ip netns del {host}", check=False)
                sh(f"rm -rf /etc/netns/{host}", check=False)
            for i in range(args.hosts):
                sh(f"ip link del tindersw{i}", check=False)
            sh("ip link del tinderbr", check=False)


if __name__ == "__main__":
    if sys.argv[1:] == ["--offload"]:
        without_offload("eth0")
    else:
        sys.exit(main())
