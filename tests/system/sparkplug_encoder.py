# SPDX-License-Identifier: Apache-2.0
"""Sparkplug B payloads by the numbers of the specification: written by hand, nothing generated."""

import struct

INT8, INT16, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = 1, 2, 3, 4, 7, 8, 9, 10, 11, 12


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def whole(field, value):
    return varint(field << 3) + varint(value)


def block(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def value(kind, what):
    if kind in (INT8, INT16, INT32, UINT32):
        return whole(10, what & 0xFFFFFFFF)
    if kind in (INT64, UINT64):
        return whole(11, what & 0xFFFFFFFFFFFFFFFF)
    if kind == FLOAT:
        return varint(12 << 3 | 5) + struct.pack("<f", what)
    if kind == DOUBLE:
        return varint(13 << 3 | 1) + struct.pack("<d", what)
    if kind == BOOLEAN:
        return whole(14, int(what))
    return block(15, what.encode())


def metric(kind, what, name=None, alias=None, told=True, quality=None, timestamp=None):
    """told: the datatype goes with it, as in a birth."""
    out = block(1, name.encode()) if name else b""
    out += whole(2, alias) if alias is not None else b""
    out += whole(3, timestamp) if timestamp else b""
    out += whole(4, kind) if told else b""
    if quality is not None:
        out += block(9, block(1, b"Quality") + block(2, whole(1, INT32) + whole(3, quality)))
    return block(2, out + value(kind, what))


def payload(metrics, seq=None, timestamp=1700000000000):
    return whole(1, timestamp) + b"".join(metrics) + (whole(3, seq) if seq is not None else b"")


def varint_at(data, at):
    result = shift = 0
    while True:
        result |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return result, at


def fields(data):
    """[(number, value)] of a message: whole numbers and blocks."""
    at, found = 0, []
    while at < len(data):
        key, at = varint_at(data, at)
        if key & 7 == 2:
            size, at = varint_at(data, at)
            found.append((key >> 3, data[at:at + size]))
            at += size
        else:
            assert key & 7 == 0, key
            number, at = varint_at(data, at)
            found.append((key >> 3, number))
    return found
