"""Checks a proof of `tributary audit prove` with nothing of Tributary: the layouts of docs/audit.md written down
once more, Ed25519 from RFC 8032. Usage: check_proof.py FILE PUBLIC_KEY_HEX"""
import hashlib
import json
import struct
import sys
from decimal import Decimal

STATES = ["billed", "voided", "quarantined"]
OUTCOMES = ["completed", "cancelled", "partial", "failed", "refused", "recovered", "quarantined"]
SOURCES = ["none", "exact", "claimed", "derived", "estimate"]
CLASSES = ["input", "cached_input", "cache_write", "output", "reasoning"]


def sha(data): return hashlib.sha256(data).digest()
def u8(n): return struct.pack("<B", n)
def u16(n): return struct.pack("<H", n)
def u32(n): return struct.pack("<I", n)
def i32(n): return struct.pack("<i", n)
def u64(n): return struct.pack("<Q", n)
def i64(n): return struct.pack("<q", n)
def blob(data): return u32(len(data)) + data
def text(s): return blob(s.encode())
def pico(s): return int(Decimal(s) * 10**12)
def amount(s): return i64(pico(s) // 10**6) + i64(pico(s) % 10**6)


def number(n):  # seven bits a byte, low first
    out = b""
    while n >= 128:
        out, n = out + u8(n & 127 | 128), n >> 7
    return out + u8(n)


def name(s): return number(len(s.encode())) + s.encode()
def counts(c): return b"".join(number(c[k]) for k in CLASSES)


def signed(n): return number(2 * n if n >= 0 else -2 * n - 1)


def party_of(part, attempt):  # its number, and the name that follows
    party, kind = part["party"], part["party"].partition(":")[0]
    if party in ("vat", "platform"):
        return 1 + ("vat", "platform").index(party), b""
    if attempt and kind in ("site", "vendor") and party == kind + ":" + attempt[kind]:
        return 3 + ("site", "vendor").index(kind), b""
    return (5, name(party[9:])) if party.startswith("referrer:") else (0, name(party))


def part_bytes(part, rows):
    attempt = next((a for a in rows if a["n"] == part["attempt"]), None)
    same = attempt and all(part[k] == attempt[k] for k in ("contract", "contract_version"))
    kind, rest = party_of(part, attempt)
    rest += b"" if same else name(part["contract"]) + number(part["contract_version"])
    return number(part["attempt"]) + number(kind + (0 if same else 8)) + rest + signed(pico(part["amount"]))


def attempt_bytes(a, r):
    out = number(a["n"]) + signed(a["dispatched_ms"] - r["admitted_ms"])
    out += b"".join(name(a[k]) for k in ("site", "seat", "device", "engine", "vendor", "contract"))
    out += number(a["contract_version"]) + name(a["fault"]) + name(a["side"])
    out += b"".join(number(a[k]) for k in ("delivered", "pieces", "bytes"))
    marks, rest = 0, b""
    if a["claimed"] is not None:
        same = a["claimed"] == r["tokens"]
        marks, rest = 3 if same else 1, b"" if same else counts(a["claimed"])
    if a["billed"] is not None:
        same, whole = a["billed"] == r["tokens"], r["charge"] is not None and pico(a["charge"]) == pico(r["charge"])
        marks += 4 + 8 * same + 16 * whole
        rest += (b"" if same else counts(a["billed"])) + (b"" if whole else signed(pico(a["charge"])))
    return out + number(marks) + rest


def detail(r):
    facts = number(2) + name(r["operation"]) + number(OUTCOMES.index(r["outcome"])) + number(r["status"])
    facts += number(SOURCES.index(r["source"])) + signed(r["admitted_ms"] - r["ended_ms"]) + number(r["price_version"])
    facts += number(r["book_revision"]) + counts(r["tokens"]) + number(r["bytes_delivered"])
    return (facts + number(len(r["attempts"])) + b"".join(attempt_bytes(a, r) for a in r["attempts"]) +
            number(len(r["parts"])) + b"".join(part_bytes(p, r["attempts"]) for p in r["parts"]))


def usage_leaf(r, shard):
    request = bytes.fromhex(r["request"])
    return sha(u8(0) + u8(2) + u8(1) + u16(shard) + request[:8][::-1] + request[8:][::-1] + u64(r["lsn"]) + u64(r["batch"]) +
               u8(STATES.index(r["state"])) + text(r["tenant"]) + text(r["model"]) + i64(r["ended_ms"]) + i32(r["period"]) +
               u8(r["charge"] is not None) + amount(r["charge"] or "0") + bytes.fromhex(r["key_hash"]) +
               blob(bytes.fromhex(r["content_hash"])) + blob(detail(r)))


def transfer_leaf(r, shard):
    return sha(u8(0) + u8(1) + u8(4) + u16(shard) + u64(r["transfer"]) + u64(r["batch"]) + u16(r["code"]) + text(r["reason"]) +
               i64(r["effective_ms"]) + i64(r["booked_ms"]) + i32(r["period"]) + u8(r["reverses"] is not None) +
               u64(r["reverses"] or 0) + text(r["document"]) + u32(len(r["legs"])) +
               b"".join(text(leg["account"]) + amount(leg["amount"]) for leg in r["legs"]))


def climb(leaf, index, count, siblings):
    siblings = list(siblings)
    while count > 1:
        if index ^ 1 < count:
            other = bytes.fromhex(siblings.pop(0))
            leaf = sha(b"\1" + other + leaf) if index & 1 else sha(b"\1" + leaf + other)
        index, count = index // 2, (count + 1) // 2
    assert not siblings, "siblings are left over"
    return leaf


def header_hash(b):
    totals = ("leaves", "billed", "voided", "quarantined", "duplicates", "commands", "transfers", "legs")
    return sha(u8(1) + bytes.fromhex(b["prev_hash"]) + bytes.fromhex(b["merkle_root"]) + u16(b["shard"]) + u64(b["id"]) +
               u64(b["from_lsn"]) + u64(b["to_lsn"]) + bytes.fromhex(b["journal_hash"]) + i64(b["booked_ms"]) +
               i32(b["period_from"]) + i32(b["period_to"]) + b"".join(u64(b[k]) for k in totals) +
               amount(b["charged"]) + amount(b["debit"]) + amount(b["credit"]))


def signed_bytes(c):
    return (b"tributary-checkpoint/1\n" + u16(c["shard"]) + u64(c["number"]) + u64(c["batch_from"]) + u64(c["batch_to"]) +
            u64(c["to_lsn"]) + i64(c["made_ms"]) + bytes.fromhex(c["root"]) + bytes.fromhex(c["head"]) + bytes.fromhex(c["prev"]))


# Ed25519 (RFC 8032), verification only. A library does it in one line.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(p, q):  # extended coordinates
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    out = (0, 1, 1, 0)
    while n:
        out, p, n = (add(out, p) if n & 1 else out), add(p, p), n >> 1
    return out


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & 2**255 - 1
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert y < P and (x * x - x2) % P == 0, "not a point"
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def signature_fits(key, message, signature):
    base = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = times(s, base), add(point(signature[:32]), times(h, point(key)))
    return s < L and (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def check(proof, key):
    row, leaf, batch, over = proof["row"], proof["leaf"], proof["batch"], proof["checkpoint"]
    assert proof["format"] == "tributary-proof/2" and over["format"] == "tributary-checkpoint/1", "format"
    found = (usage_leaf if proof["kind"] == "usage" else transfer_leaf)(row, batch["shard"])
    assert found.hex() == leaf["hash"], "the row differs from its leaf"
    assert row["batch"] == batch["id"], "another batch"
    assert climb(found, leaf["index"], batch["leaves"], leaf["siblings"]).hex() == batch["merkle_root"], "Merkle root"
    assert header_hash(batch).hex() == batch["hash"], "the batch's header"
    assert batch["shard"] == over["shard"] and over["batch_from"] <= batch["id"] <= over["batch_to"], "not covered"
    top = climb(header_hash(batch), batch["id"] - over["batch_from"], over["batch_to"] - over["batch_from"] + 1,
                proof["batch_siblings"])
    assert top.hex() == over["root"], "the checkpoint's root"
    assert signature_fits(key, signed_bytes(over), bytes.fromhex(over["signature"])), "the signature"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        check(json.load(file), bytes.fromhex(sys.argv[2]))
    print("ok")
