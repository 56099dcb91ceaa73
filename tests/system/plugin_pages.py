# SPDX-License-Identifier: Apache-2.0
"""The pages that teach writing a plugin, followed to the letter.

A fenced block whose first line names a file (```c fixit/fixit.c) is that file; several of a page make it up in their order;
one that is a diff is applied to it. An sh block runs (`sh root` with the right to install, `sh fails` must fail); a `text
output` block behind it holds lines that the command prints, each in its order.
"""

import re
import subprocess

from busbar_harness import ROOT

PLUGINS = ROOT / "plugins"
PAGES = ["README.md", "FIXIT.md", "GUIDE.md"]


def blocks(text):
    """(language, rest of the info string, text) of each fenced block."""
    return re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text):
    """Those that lead to files."""
    return [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", prose(text)) if "://" not in link]


def write(folder, name, text, more):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a" if more else "w", encoding="utf-8") as out:
        out.write("\n" + text if more else text)


def follow(text, folder, execute):
    """Does what a page says, from top to bottom. execute(script, kind) answers (exit status, output). Answers how many lines
    of output the page promised."""
    written, output, promised = set(), "", 0
    for language, info, block in blocks(text):
        if language == "sh":
            status, output = execute(block, info)
            assert (status != 0) == (info == "fails"), f"{block}\n{output}"
        elif (language, info) == ("text", "output"):
            at = 0
            for line in block.splitlines():
                at = output.find(line, at)
                assert at >= 0, f"{line!r} is not in its order in\n{output}"
                promised += 1
        elif language == "diff":
            subprocess.run(["patch", str(folder / info)], input=block, text=True, check=True, capture_output=True)
        elif info:
            write(folder, info, block, info in written)
            written.add(info)
    return promised
