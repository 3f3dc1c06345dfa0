"""Whether a shared library is as long as its own headers say."""

import struct


def mapped_bytes(content):
    """Returns how many bytes of a shared library the dynamic loader maps.

    The loader also maps a truncated file, and the first access beyond its end
    kills the process (SIGBUS). The result is 0 for content that is not ELF
    with 64-bit addresses, because the loader refuses it with a message.
    """
    if content[:5] != b"\x7fELF\x02" or len(content) < 64:
        return 0
    order = "<" if content[5] == 1 else ">"
    (headers,) = struct.unpack_from(f"{order}Q", content, 32)
    size, count = struct.unpack_from(f"{order}HH", content, 54)
    end = headers + size * count
    if end > len(content):
        return end
    for header in range(headers, end, size):
        (start,) = struct.unpack_from(f"{order}Q", content, header + 8)
        (length,) = struct.unpack_from(f"{order}Q", content, header + 32)
        end = max(end, start + length)
    return end
