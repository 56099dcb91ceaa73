# SPDX-License-Identifier: Apache-2.0
"""`busbar plugins new`: a project in C, C++ or Rust that builds against what busbar-dev installs, passes its own tests as it
stands and shows the core one symbol; and the Rust structs, which are the header's."""

import os
import re
import shutil
import subprocess

import pytest

from busbar_harness import BINARY, ROOT

ACME = ROOT / "plugins" / "examples" / "acme"
COMPILERS = {"c": "cc", "c++": "c++", "rust": "rustc"}
WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"


def run(*command, expect=0, **options):
    environment = dict(os.environ, PATH=f"{BINARY.parent}:{os.environ['PATH']}", CFLAGS=WARNINGS, CXXFLAGS=WARNINGS)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False,
                          env=environment, **options)
    assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def compiler(language):
    found = shutil.which(COMPILERS[language])
    if not found:
        pytest.skip(f"LOUD: no {COMPILERS[language]} here: the plugin in {language} is not built")
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BINARY.parent, "--prefix", folder, "--component", "dev")
    return folder


@pytest.mark.parametrize("language", COMPILERS)
def test_it_builds_out_of_tree_and_passes_as_written(language, installed, tmp_path):
    compiler(language)
    run("busbar", "plugins", "new", "acme_cmms", "--lang", language, cwd=tmp_path)
    folder = tmp_path / "acme_cmms"
    for source in [*folder.glob("*.c"), *folder.glob("*.cpp")]:  # what an author forgets to make static is hidden all the same
        source.write_text(source.read_text() + "\nint stray(void);\nint stray(void)\n{\n    return 1;\n}\n")
    run("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={installed}", cwd=folder)
    run("cmake", "--build", "build", cwd=folder)
    said = run("ctest", "--test-dir", "build", "--verbose", cwd=folder)
    assert not re.search("warning: (io|globals|descriptor): ", said)  # what a language's runtime takes is none
    assert "keeps the rules" in said and "5 cases, 0 failed" in said and "100% tests passed" in said
    symbols = run("nm", "--dynamic", "--defined-only", folder / "build" / "acme_cmms.so").split("\n")
    assert [line.split()[-1] for line in symbols if line] == ["busbar_plugin"]
    run("cmake", "--install", "build", cwd=folder)
    (file,) = installed.glob("lib/**/busbar/plugins/acme_cmms.so")
    shown = run("busbar", "plugins", "show", file)
    assert "acme_cmms 0.1.0: Acme cmms" in shown
    words = "".join(each.read_text() for each in folder.rglob("*") if each.is_file() and "build" not in each.parts)
    assert not re.search(r"\bacme\b|\bAcme\b(?! cmms)", words), "the example's own name is left"


@pytest.mark.parametrize("language", COMPILERS)
def test_a_broken_case_fails_its_test(language, installed, tmp_path):
    compiler(language)
    run("busbar", "plugins", "new", "acme", "--lang", language, cwd=tmp_path)
    case = tmp_path / "acme" / "cases" / "acme.case"
    case.write_text(case.read_text().replace("expect source 7", "expect source 8"))
    run("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={installed}", cwd=tmp_path / "acme")
    run("cmake", "--build", "build", cwd=tmp_path / "acme")
    assert "expected source 8, got 7" in run("ctest", "--test-dir", "build", "--output-on-failure", cwd=tmp_path / "acme",
                                             expect=8)


def test_the_examples_are_short():
    for file in ("acme.c", "acme.cpp", "acme.rs"):
        assert 50 < len((ACME / file).read_text().splitlines()) < 150, file


def test_it_never_overwrites(tmp_path):
    run("busbar", "plugins", "new", "acme", cwd=tmp_path)
    (tmp_path / "acme" / "acme.c").write_text("mine")
    (tmp_path / "acme" / "acme.md").unlink()
    assert "acme: it exists already" in run("busbar", "plugins", "new", "acme", cwd=tmp_path, expect=1)
    assert (tmp_path / "acme" / "acme.c").read_text() == "mine" and not (tmp_path / "acme" / "acme.md").exists()


@pytest.mark.parametrize("name", ["Acme", "../x", "a-b", "1a", "", "_a", "test", "bus", "ä", "a" * 65])
def test_a_bad_name_is_said(name, tmp_path):
    said = run("busbar", "plugins", "new", name, cwd=tmp_path, expect=2)
    assert f"'{name}' is no name for a plugin, which " in said
    assert list(tmp_path.iterdir()) == []


def test_a_language_that_is_none(tmp_path):
    assert "--lang is c, c++ or rust" in run("busbar", "plugins", "new", "acme", "--lang", "go", cwd=tmp_path, expect=2)
    assert list(tmp_path.iterdir()) == []


def test_without_rustc_it_says_so(installed, tmp_path):
    run("busbar", "plugins", "new", "acme", "--lang", "rust", cwd=tmp_path)
    said = run("cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={installed}", "-Dbusbar_RUSTC=", cwd=tmp_path / "acme", expect=1)
    assert "acme.rs is Rust, and there is no rustc" in " ".join(said.split())


def test_pkg_config_is_enough(installed, tmp_path):
    """As plugins/README.md says for who builds without CMake."""
    (line,) = re.findall(r"`(cc -std=c17 .*?)`", (ROOT / "plugins" / "README.md").read_text())
    run("busbar", "plugins", "new", "acme", cwd=tmp_path)
    (path,) = installed.glob("lib/**/pkgconfig")
    script = f"export PKG_CONFIG_PATH={path}; pkg-config() {{ command pkg-config --define-prefix \"$@\"; }}; {line}"
    run("bash", "-euc", script, cwd=tmp_path / "acme")
    assert "5 cases, 0 failed" in run("busbar", "plugins", "check", "./acme.so", "--cases", "cases", cwd=tmp_path / "acme")


def rust_structs():
    """name: [members], of busbar.rs."""
    text = (ACME / "busbar.rs").read_text()
    text = text[text.index("structs! {"):]
    found = {}
    for name, body in re.findall(r"\b([A-Z]\w*) \{ (.*?) \}(?=\n)", text, re.DOTALL):
        body = re.sub(r"extern \"C\" fn\([^()]*\)(?: -> [^,>]+(?:\*mut c_void)?)?", "fn", body)
        found[name] = re.findall(r"(\w+): ", body)
    return found


def test_the_rust_structs_are_the_headers(tmp_path):
    """Each has the size and the offsets that C has, member by member."""
    structs = rust_structs()
    assert len(structs) == 19 and structs["Host"][-1] == "common_word" and structs["Plugin"][-1] == "hook_events"
    in_c = {"Option_": "bb_option", "WorkOrder": "bb_work_order"}
    member_in_c = {("Option_", "kind"): "type", ("Event", "kind"): "type"}
    c, rust = [], []
    for name, members in structs.items():
        c_name = f"struct {in_c.get(name, 'bb_' + name.lower())}"
        c.append(f'printf("{name} %zu\\n", sizeof({c_name}));')
        rust.append(f'println!("{name} {{}}", core::mem::size_of::<{name}>());')
        for member in members:
            c.append(f'printf("{name}.{member} %zu\\n", offsetof({c_name}, {member_in_c.get((name, member), member)}));')
            rust.append(f'{{ let all = core::mem::MaybeUninit::<{name}>::uninit(); let at = all.as_ptr();'
                        f' let of = unsafe {{ core::ptr::addr_of!((*at).{member}) }};'
                        f' println!("{name}.{member} {{}}", of as usize - at as usize); }}')
    (tmp_path / "c.c").write_text("#include <busbar/plugin.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(c) + "}\n")
    run("cc", "-I", ROOT / "include", "-o", tmp_path / "c", tmp_path / "c.c")
    header = run(tmp_path / "c")
    shutil.copy(ACME / "busbar.rs", tmp_path)
    (tmp_path / "r.rs").write_text("mod busbar; use busbar::*;\nfn main() {\n" + "\n".join(rust) + "}\n")
    run(compiler("rust"), "--edition", "2021", "-o", tmp_path / "r", tmp_path / "r.rs")
    assert run(tmp_path / "r") == header and header.count("\n") > 150
