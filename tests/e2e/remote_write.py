"""Remote write requests of version 1, written by hand: what a sender puts on the wire.

    body = request([series({"__name__": "m"}, [(time_ms, 1.5), (time_ms, Histogram(3, {0: 2}, 7.5))])])
    server.http("/api/v1/write", snappy(body), HEADERS)
"""
import struct

HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
           "X-Prometheus-Remote-Write-Version": "0.1.0"}
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
ZERO_THRESHOLD = 2.0 ** -128


class Histogram:
    """A native histogram: counts by bucket index of either sign; a stale marker for sum=STALE."""

    def __init__(self, schema, positive, total, zero=0, negative=None):
        self.schema, self.positive, self.total, self.zero = schema, positive, total, zero
        self.negative = negative or {}

    @property
    def count(self):
        return sum(self.positive.values()) + sum(self.negative.values()) + self.zero


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def zigzag(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def integer(number, encoded):
    return varint(number << 3) + encoded


def side(buckets, first):
    """Spans of neighbouring buckets, and each count as the difference to the one before."""
    spans, deltas, end, last = [], b"", 0, 0
    for index in sorted(buckets):
        if not spans or index != end:
            spans.append([index - end, 0])
        spans[-1][1] += 1
        end = index + 1
        deltas += zigzag(buckets[index] - last)
        last = buckets[index]
    out = b"".join(field(first, integer(1, zigzag(gap)) + integer(2, varint(length)))
                   for gap, length in spans)
    return out + (field(first + 1, deltas) if deltas else b"")


def sample(time_ms, value):
    if not isinstance(value, Histogram):
        # The bits as they are: a stale marker is a NaN among others.
        return field(2, double(1, value) + integer(2, varint(time_ms)))
    return field(4, integer(1, varint(value.count)) + double(3, value.total)
                 + integer(4, zigzag(value.schema)) + double(5, ZERO_THRESHOLD)
                 + integer(6, varint(value.zero)) + side(value.negative, 8)
                 + side(value.positive, 11) + integer(15, varint(time_ms)))


def series(labels, samples):
    pairs = b"".join(field(1, field(1, name.encode()) + field(2, value.encode()))
                     for name, value in sorted(labels.items()))
    return field(1, pairs + b"".join(sample(t, v) for t, v in samples))


def request(rows):
    return b"".join(rows)


def snappy(data):
    """The block format, nothing compressed: literals of up to 64 KiB."""
    out = varint(len(data))
    for at in range(0, len(data), 65536):
        part = data[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(part) - 1) + part
    return out
