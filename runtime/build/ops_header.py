# SPDX-License-Identifier: Apache-2.0
"""Make the executor's dispatch table and the encoder's code table from the instruction set.

    python ops_header.py OPS.py OUT.h OUT.py

Both outputs carry the same checksum of the list, so that a plan of one build is refused by an
executor of another.
"""

from __future__ import annotations

import ast
import binascii
import sys

KINDS = {
    "int": "i",
    "str": "s",
    "str | None": "z",
    "list[str]": "l",
    "bytes": "b",
    "Slot": "f",
    "Out": "o",
}
MAX_OPERANDS = 7


def signatures(source: str) -> list[tuple[str, str]]:
    """(operation, a letter for the kind of each operand), in the order of the file."""
    found = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef) or node.name == "tolerate":
            continue
        kinds = ""
        for operand in node.args.args:
            if operand.annotation is None:
                raise SystemExit(f"{node.name}: {operand.arg} has no annotation")
            kinds += KINDS[ast.unparse(operand.annotation)]
        if len(kinds) > MAX_OPERANDS:
            raise SystemExit(f"{node.name}: more than {MAX_OPERANDS} operands")
        found.append((node.name, kinds))
    return found


def main(source: str, header: str, module: str) -> None:
    """Write both files."""
    with open(source, encoding="utf-8") as file:
        ops = signatures(file.read())
    listing = "\n".join(f"{name}({kinds})" for name, kinds in ops)
    checksum = binascii.crc32(listing.encode())
    with open(header, "w", encoding="ascii") as file:
        file.write("/* Generated from ops.py: do not edit. */\n")
        file.write(f"#define OPS_CHECKSUM 0x{checksum:08x}U\n#define OPS(OP) \\\n")
        file.write(" \\\n".join(f'    OP({name}, "{kinds}")' for name, kinds in ops) + "\n")
    with open(module, "w", encoding="ascii") as file:
        file.write('"""Generated from ops.py: do not edit."""\n\n')
        file.write(f"CHECKSUM = 0x{checksum:08x}\nCODES = {{\n")
        file.writelines(f'    "{name}": {code},\n' for code, (name, _) in enumerate(ops))
        file.write("}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
