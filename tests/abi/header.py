#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the plugin ABI's header: its structs, enums and values with their comments.

    tests/abi/header.py --write      makes the reference in plugins/ABI.md anew
    tests/abi/header.py --members    prints tests/abi/members.def
"""

import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "busbar" / "plugin.h"
PAGE = ROOT / "plugins" / "ABI.md"
START = "<!-- what follows is made from busbar/plugin.h by tests/abi/header.py --write -->\n"


def words(comment):
    """A comment's text without its marks, in one line."""
    return " ".join(re.sub(r"^\s*\*? ?", "", line) for line in comment.strip()[2:-2].strip().splitlines()).strip()


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


def names_of(declaration):
    function = re.search(r"\(\*(\w+)\)\(", declaration)
    if function:
        return [function[1]]
    return [part.strip(" *;").split()[-1].lstrip("*") for part in declaration.rstrip(";").split(",")]


def members(body):
    """[(names, declaration, comment)] of a struct's body, in its order."""
    body = re.sub(r"^#.*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"\s*__attribute__\(\(.*?\)\)\)\n", "", body)
    found, pending = [], []
    for token in re.finditer(r"/\*.*?\*/|[^;/]+;", body, re.DOTALL):
        text = token[0]
        if text.startswith("/*"):
            own_line = "\n" in body[: token.start()].rpartition(";")[2] or not found
            if own_line:
                pending.append(words(text))
            else:
                found[-1][2] = " ".join(filter(None, [found[-1][2], words(text)]))
        else:
            declaration = one_line(text)
            found.append([names_of(declaration), declaration, " ".join(pending)])
            pending = []
    return [tuple(each) for each in found]


def enum_values(body):
    values, last = [], -1
    for name, value, comment in re.findall(r"(BB_\w+)(?: = (\d+))?,?\s*(?:/\*(.*?)\*/)?", body, re.DOTALL):
        last = int(value) if value else last + 1
        values.append((name, last, one_line(comment)))
    return values


def parse(text):
    """structs: {name: (comment, members)}, enums: {name: (comment, values)}, defines: {name: (value, comment)}."""
    structs = {name: (words(comment) if comment else "", members(body)) for comment, name, body in
               re.findall(r"(?:^(/\*(?:[^*]|\*[^/])*\*/)\n)?^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL)}
    enums = {name: (words(comment) if comment else "", enum_values(body)) for comment, name, body in
             re.findall(r"(?:^(/\*(?:[^*]|\*[^/])*\*/)\n)?^enum (\w+) \{(.*?)\};", text, re.MULTILINE | re.DOTALL)}
    defines = {name: (value, comment.strip()) for name, value, comment in
               re.findall(r"^#define (BB_\w+) (\S+)[ ]*(?:/\*(.*?)\*/)?$", text, re.MULTILINE)}
    return structs, enums, defines


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def declared(declaration):
    return "`" + declaration.rstrip(" ;").replace("|", "\\|") + "`"


def reference(text):
    """The Markdown of all that the header has."""
    structs, enums, defines = parse(text)
    out = ["## Reference", "", "### Values", "", "| name | value | meaning |", "|---|---|---|"]
    out += [f"| `{name}` | `{value}` | {cell(comment)} |" for name, (value, comment) in defines.items()
            if not name.startswith("BB_EXPORT")]
    for name, (comment, values) in enums.items():
        out += ["", f"### enum {name}", ""] + ([cell(comment), ""] if comment else [])
        out += ["| name | value | meaning |", "|---|---|---|"]
        out += [f"| `{value}` | {number} | {cell(meaning)} |" for value, number, meaning in values]
    for name, (comment, rows) in structs.items():
        out += ["", f"### struct {name}", ""] + ([cell(comment), ""] if comment else [])
        out += ["| member | meaning |", "|---|---|"]
        out += [f"| {declared(declaration)} | {cell(meaning)} |" for _, declaration, meaning in rows]
    return "\n".join(out) + "\n"


def member_rows(text):
    structs, enums, defines = parse(text)
    rows = [f"M({struct}, {name})" for struct, (_, found) in structs.items() for names, _, _ in found for name in names]
    values = [f"V({name})" for _, found in enums.values() for name, _, _ in found]
    values += [f"V({name})" for name, (value, _) in defines.items() if re.match(r"(0x)?[0-9a-f]+u?$", value)]
    fill = {"width": 118, "break_long_words": False, "break_on_hyphens": False}
    pack = lambda items: textwrap.fill(" ".join(item.replace(" ", "\0") for item in items), **fill).replace("\0", " ")
    return pack(rows) + "\n\n" + pack(values) + "\n"


def main():
    header = HEADER.read_text()
    if sys.argv[1:] == ["--write"]:
        before = PAGE.read_text().partition(START)[0]
        PAGE.write_text(before + START + "\n" + reference(header))
    elif sys.argv[1:] == ["--members"]:
        print(member_rows((ROOT / "tests" / "abi" / "plugin-1.h").read_text()), end="")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
