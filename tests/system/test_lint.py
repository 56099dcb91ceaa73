# SPDX-License-Identifier: Apache-2.0
"""The lint finds what it says it finds: one planted fault for each check."""

import shutil
import subprocess

import pytest

from busbar_harness import ROOT

FAULTS = {  # name -> (file, text, words of the finding)
    "upward": ("core/topic.h", '/* x */\n#include "store.h"\n', "topic (layer 0) includes store (layer 2)"),
    "neighbour": ("core/route.c", '/* SPDX-License-Identifier: Apache-2.0 */\n#include "store.h"\n',
                  "route (layer 2) includes store (layer 2)"),
    "private-header": ("core/api.c", '/* SPDX-License-Identifier: Apache-2.0 */\n#include "store_sql.h"\n',
                       "store_sql.h is store's own"),
    "no-room": ("core/misc.c", "/* SPDX-License-Identifier: Apache-2.0 */\n", "belongs to no room"),
    "third-party": ("core/route.c", "/* SPDX-License-Identifier: Apache-2.0 */\n#include <sqlite3.h>\n",
                    "<sqlite3.h> belongs to store"),
    "third-party-in-header": ("core/store.h", "/* x */\n#include <sqlite3.h>\n", "<sqlite3.h> in a header"),
    "plugin-includes-core": ("plugins/x/x.c", '/* SPDX-License-Identifier: Apache-2.0 */\n#include "store.h"\n',
                             "a plugin includes"),
    "long-file": ("core/route.c", "/* SPDX-License-Identifier: Apache-2.0 */\n" + "\n" * 700, "701 lines"),
    "long-test": ("tests/unit/test_x.c", "/* SPDX-License-Identifier: Apache-2.0 */\n" + "\n" * 700, "701 lines"),
    "long-script": ("tests/x", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n" + "\n" * 700, "702 lines"),
    "long-function": ("core/route.c", "/* SPDX-License-Identifier: Apache-2.0 */\nint f(void)\n{\n" + "    ;\n" * 90
                      + "}\n", "function of 90 lines"),
    "no-licence": ("core/route.c", "int x;\n", "no SPDX"),
    "unfinished": ("core/route.c", "/* SPDX-License-Identifier: Apache-2.0 */\n/* TO" + "DO */\n", "unfinished"),
    "machine-path": ("README.md", "see /ho" + "me/someone/busbar\n", "a path of one machine"),
    "sleeping-test": ("tests/unit/test_x.c", "/* SPDX-License-Identifier: Apache-2.0 */\nint x(void) { usl" "eep(1); }\n",
                      "sleeps"),
    "format": ("core/route.c", "/* SPDX-License-Identifier: Apache-2.0 */\nint   x;\n", "clang-format"),
    "header-alone": ("core/route.h", "struct x {\n    size_t n;\n};\n", "does not compile alone"),
    "broken-script": ("deploy/x", "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\nif\n", "does not parse"),
}


@pytest.fixture
def project(tmp_path):
    """A minimal project around a copy of the lint."""
    for name in ("tests/lint/check", ".clang-format", "include/busbar/plugin.h"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / "core").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def lint(project):
    done = subprocess.run([str(project / "tests/lint/check")], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_the_lint_finds(project, name):
    file, text, words = FAULTS[name]
    if name == "format" and not shutil.which("clang-format"):
        pytest.skip("LOUD: clang-format is not installed")
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text(text)
    status, said = lint(project)
    assert status == 1 and any(line.startswith(f"{file}:") and words in line for line in said.splitlines()), said


def test_the_lint_finds_writable_globals_of_a_plugin(project):
    plugins = project / "build/release/plugins"
    plugins.mkdir(parents=True)
    for name, source, wanted in (("bad", "int counter = 1; int zero;", 1), ("good", 'const char *const t[] = {"a"};', 0)):
        for old in plugins.glob("*.so"):
            old.unlink()
        subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(plugins / f"{name}.so")], input=source,
                       text=True, check=True)
        _, said = lint(project)
        assert said.count("so:0: writable global") == 2 * wanted, said

