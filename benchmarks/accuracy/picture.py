"""A sheet of grey maps with labels as PNG, with numpy and zlib alone. Letters are those of the program, src/io/font.hpp."""
import os
import re
import struct
import zlib

import numpy as np

FONT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "io", "font.hpp")
LETTER = (6, 9)  # pixels with the gap, width and height


def glyphs():
    with open(FONT, encoding="utf-8") as file:
        text = file.read()
    return [int(code, 16) for code in re.findall(r"0x[0-9a-f]{10}", text[text.index("glyphs{"):])]


def draw_text(canvas, x, y, text, letters, level=255, size=2):
    for c in text:
        code = letters[ord(c) - 32] if 32 <= ord(c) < 127 else letters[ord("?") - 32]
        bits = np.array([[code >> (39 - 5 * row - column) & 1 for column in range(5)] for row in range(8)], dtype=bool)
        bits = np.kron(bits, np.ones((size, size), dtype=bool))
        part = canvas[y:y + bits.shape[0], x:x + bits.shape[1]]
        part[bits[:part.shape[0], :part.shape[1]]] = level
        x += LETTER[0] * size


def write_png(path, grey):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def levels(plane, limit, size):
    """A slice (x, y), +y up, as grey levels: -limit black, limit white; each voxel size x size pixels."""
    grey = np.clip(127.5 * (1 + plane / limit), 0, 255).astype(np.uint8).T[::-1]
    return np.kron(grey, np.ones((size, size), dtype=np.uint8))


def write_sheet(path, cells, limit, title, width=1800):
    """cells: (lines of label, planes side by side). The first cell is the truth."""
    letters = glyphs()
    size = max(1, round(200 / cells[0][1][0].shape[0]))
    tile = levels(cells[0][1][0], limit, size).shape
    n_planes = max(len(planes) for _, planes in cells)
    text_height = 2 * 2 * LETTER[1] + 8
    cell_width, cell_height = n_planes * tile[1] + 12, tile[0] + text_height + 8
    columns = max(1, width // cell_width)
    rows = -(-len(cells) // columns)
    top = 3 * LETTER[1] + 16
    canvas = np.full((top + rows * cell_height, max(columns * cell_width, 12 + len(title) * LETTER[0] * 2)), 24, dtype=np.uint8)
    draw_text(canvas, 8, 8, title, letters)
    for i, (label, planes) in enumerate(cells):
        x, y = i % columns * cell_width + 6, top + i // columns * cell_height
        for k, line in enumerate(label):
            draw_text(canvas, x, y + k * 2 * LETTER[1], line, letters)
        for k, plane in enumerate(planes):
            grey = levels(plane, limit, size)
            canvas[y + text_height:y + text_height + tile[0], x + k * tile[1]:x + (k + 1) * tile[1]] = grey
    write_png(path, canvas)
