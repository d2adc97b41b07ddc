"""Sound files made bad, as disks, transfers, spreadsheets and attackers make them bad."""

import json
import random
import struct
import zlib
from collections.abc import Callable

Mutator = Callable[[random.Random, bytes], bytes]

NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
DEPTH = 5000  # of brackets: beyond what a recursive reader can follow
FIELDS = (
    *("", " ", "0", "-1", "1.5", "nan", "inf", "-inf", "1e308", "1e400", "9" * 30, "9" * 5000),
    *(
        "1_000",
        "0x10",
        "٣",
        "⑤",
        "True",
        "None",
        '"',
        '""',
        "a;b",
        "a,b",
        "a\nb",
        '"a\rb"',
        "\ufeff",
        "\u202e",
    ),
    *("../../secret.png", "/etc/passwd", "C:\\x.png", "..", ".", "a\0b", "~", "x" * 10000),
    *("<script>alert(1)</script>", "=1+1", "${oc.env:HOME}", "{{7*7}}", "No Finding|Mass", "à.png"),
)
ALIASES = ("a0: &a0 []", *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(6)))
VALUES = (None, True, 0, -1, 1e308, 2**80, "", "x", "../..", "a\0b", "${oc.env:HOME}", [], {}, [[]])


def spoil_bytes(chance: random.Random, content: bytes) -> bytes:
    """One to four changes: a bit, a byte, a number; a piece cut, doubled, moved or zeroed."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        at = chance.randrange(len(data))
        end = min(len(data), at + chance.choice((1, 2, 4, 16, 256)))
        what = chance.randrange(8)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.randrange(256)
        elif what == 2:
            width = chance.choice((1, 2, 4))
            number = chance.choice(NUMBERS) & (256**width - 1)
            data[at : at + width] = number.to_bytes(width, chance.choice(("big", "little")))
        elif what == 3:
            del data[at:end]
        elif what == 4:
            data[at:at] = data[at:end] * chance.choice((1, 2, 100))
        elif what == 5:
            piece = bytes(data[at:end])
            del data[at:end]
            where = chance.randrange(len(data) + 1)
            data[where:where] = piece
        elif what == 6:
            data[at:end] = bytes(end - at)
        else:
            del data[at:]
    return bytes(data)


def spoil_header(chance: random.Random, content: bytes) -> bytes:
    """The same, in the first 1,024 bytes or so, where sizes and types stand."""
    length = min(len(content), chance.choice((64, 256, 1024)))
    return spoil_bytes(chance, content[:length]) + content[length:]


def spoil_png(chance: random.Random, content: bytes) -> bytes:
    """One chunk spoilt, moved, doubled or gone, under checksums that are right."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    which = chance.randrange(len(chunks))
    kind, data = chunks[which]
    what = chance.randrange(6)
    if what < 3:
        chunks[which] = kind, spoil_bytes(chance, data)
    elif what == 3:
        chunks.insert(which, chunks[chance.randrange(len(chunks))])
    elif what == 4:
        chunks[which] = chance.choice((b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"fcTL", b"IDAT")), data
    else:
        del chunks[which]
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def spoil_table(chance: random.Random, content: bytes) -> bytes:
    """A csv file or list as spreadsheets and people spoil it: fields, lines, columns, encoding."""
    lines = content.decode("utf-8-sig").splitlines()
    separator = ";" if lines[0].count(";") > lines[0].count(",") else ","
    ending, mark, encoding = "\n", "", "utf-8"
    for _ in range(chance.choice((1, 1, 2, 3))):
        line = chance.randrange(len(lines))
        fields = lines[line].split(separator)
        column = chance.randrange(len(fields))
        what = chance.randrange(10)
        if what < 4:
            fields[column] = chance.choice(FIELDS)
            lines[line] = separator.join(fields)
        elif what == 4:
            lines[line] = separator.join(fields[:column] + fields[column + chance.choice((0, 1)) :])
        elif what == 5:
            lines.insert(chance.randrange(len(lines) + 1), chance.choice((lines[line], "", "x")))
        elif what == 6:
            if len(lines) > 1:
                del lines[line]
        elif what == 7:  # a column everywhere: gone, or there twice
            keep = chance.choice((0, 2))
            rows = [text.split(separator) for text in lines]
            lines = [
                separator.join(
                    [*row[:column], *row[column : column + 1] * keep, *row[column + 1 :]]
                )
                for row in rows
            ]
        elif what == 8:
            ending, mark = chance.choice((("\r\n", "\ufeff"), ("\r", ""), ("\n", "\ufeff\ufeff")))
        else:
            encoding = chance.choice(("utf-16", "latin-1", "utf-8"))
    data = (mark + ending.join([*lines, ""])).encode(encoding, "replace")
    return spoil_bytes(chance, data) if chance.random() < 0.2 else data


def spoil_json(chance: random.Random, content: bytes) -> bytes:
    """JSON with a value that is absent, or of another type, or nested without end; or torn text."""
    if chance.random() < 0.2:
        return spoil_bytes(chance, content)
    tree = json.loads(content)
    parent, places = tree, []
    while isinstance(parent, dict | list) and parent:
        places.append(parent)
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        parent = parent[chance.choice(list(keys))]
        if chance.random() < 0.3:
            break
    place = places[-1]
    key = chance.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
    what = chance.randrange(10)
    if what == 0:
        del place[key]
    elif what == 1 and isinstance(place, dict):
        place[str(chance.choice(FIELDS))] = place.pop(key)
    elif what == 2:
        place[key] = "DEEP"
        return json.dumps(tree).replace('"DEEP"', "[" * DEPTH + "]" * DEPTH).encode()
    else:
        place[key] = chance.choice((*VALUES, *FIELDS))
    return json.dumps(tree).encode()


def spoil_yaml(chance: random.Random, content: bytes) -> bytes:
    """YAML with a value of another type, nested without end or ten times itself, a line gone,
    doubled or indented; or torn text."""
    if chance.random() < 0.3:
        return spoil_bytes(chance, content)
    lines = content.decode().splitlines()
    at = chance.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    indent = key[: len(key) - len(key.lstrip())]
    lines[at : at + 1] = chance.choice(
        (
            [key + colon + " " + json.dumps(chance.choice((*VALUES, *FIELDS)))],
            [key + colon + " " + chance.choice(FIELDS)],
            [key + colon + " !!python/object/apply:os.system [true]"],
            [key + colon + " " + "[" * DEPTH + "]" * DEPTH],
            [*(indent + line for line in ALIASES), key + colon + " *a6"],
            [lines[at], lines[at]],
            [" " + lines[at]],
            [],
        )
    )
    return "\n".join([*lines, ""]).encode()
