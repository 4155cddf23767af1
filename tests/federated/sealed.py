"""A room without doors: run a command in a network of its own and see every packet that would leave

Run: unshare -rn python tests/federated/sealed.py COMMAND …
Every address leads back to this machine, and a packet whose destination is not the machine itself
is caught below all processes, whichever language they are written in.
"""
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from ctypes import addressof, create_string_buffer

SO_ATTACH_FILTER, EVERY_KIND = 26, 3
FILTER = [ # Of Ethernet frames: all but what goes to 127.0.0.0/8 or to ::1
    (0x28, 0, 0, 12), (0x15, 0, 3, 0x0800),                         # Kind; IPv4?
    (0x30, 0, 0, 30), (0x15, 8, 0, 127), (0x06, 0, 0, 0xffff),      # First byte of the destination
    (0x15, 0, 5, 0x86dd),                                           # IPv6?
    (0x20, 0, 0, 38), (0x15, 0, 3, 0), (0x20, 0, 0, 50), (0x15, 0, 1, 1), # Its first and last four
    (0x06, 0, 0, 0), (0x06, 0, 0, 0xffff), (0x06, 0, 0, 0)]


class Trap:
    "What leaves, as pairs of address and protocol"
    def __init__(self):
        self.caught = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_KIND))
        code = create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in FILTER))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack('HL', len(FILTER), addressof(code)))
        self.socket.bind(('lo', 0))
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            frame = self.socket.recv(200)
            v4 = frame[12:14] == b'\x08\x00'
            where = frame[30:34] if v4 else frame[38:54]
            kind = frame[23] if v4 else frame[20]
            self.caught.append([socket.inet_ntop(socket.AF_INET if v4 else socket.AF_INET6, where),
                                kind])

    def taken(self, least=0):
        "What was caught since, after a moment, and when so much has come"
        until = time.monotonic() + 600
        while len(self.caught) < least and time.monotonic() < until: time.sleep(.01)
        time.sleep(.3)
        found, self.caught = self.caught, []
        return found


def probe(family, where):
    "Somebody who talks"
    with socket.socket(family, socket.SOCK_DGRAM) as s: s.sendto(b'here I am', (where, 53))


def main():
    for words in ('link set lo up', 'route add local default dev lo src 127.0.0.1',
                  '-6 route add local default dev lo'):
        subprocess.run(['ip', *words.split()], check=True)
    trap = Trap()
    probe(socket.AF_INET, '192.0.2.1')
    probe(socket.AF_INET6, '2001:db8::1')
    probe(socket.AF_INET, '127.0.0.1')
    probe(socket.AF_INET6, '::1')
    seen = trap.taken(2)
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
    print(json.dumps({'control': seen, 'caught': trap.taken(), 'code': done.returncode,
                      'said': (done.stdout + done.stderr)[-2000:]}))


if __name__ == '__main__': main()
