"""Whether a shared library is as long as its own headers say."""

import struct


def mapped_bytes(content):
    """How many bytes of a shared library the dynamic loader maps.

    The loader maps a file that was cut off, too, and the first access behind
    its end kills the process (SIGBUS). What is not ELF with 64-bit addresses
    counts as 0: the loader refuses it in words.
    """
    if content[:5] != b"\x7fELF\x02" or len(content) < 64:
        return 0
    order = "<" if content[5] == 1 else ">"
    (table,) = struct.unpack_from(f"{order}Q", content, 32)
    size, count = struct.unpack_from(f"{order}HH", content, 54)
    end = table + size * count
    if end > len(content):
        return end
    for header in range(table, end, size):
        (start,) = struct.unpack_from(f"{order}Q", content, header + 8)
        (length,) = struct.unpack_from(f"{order}Q", content, header + 32)
        end = max(end, start + length)
    return end
