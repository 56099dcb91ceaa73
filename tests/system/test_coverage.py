# SPDX-License-Identifier: Apache-2.0
"""The coverage table reads citations as its help says, and its check bites.

Ids are put together here: whole ones would count as citations of this file.
"""

import shutil
import subprocess

import pytest

from busbar_harness import ROOT

E, C, S, F = "MW-" "E", "MW-" "C", "AS-" "M", "FV-" "0"
ROWS = [*(f"{E}0{n}" for n in range(1, 6)), f"{C}10", f"{C}11", f"{C}12", f"{S}01", f"{S}02", f"{F}1",
        *(f"{F}5{letter}" for letter in "abc"), f"{F}" "A"]

READ = {  # a line -> the rows that it cites
    "one": (f"{E}01", [f"{E}01"]),
    "several": (f"{E}01, {C}10 and {S}02", [f"{E}01", f"{C}10", f"{S}02"]),
    "range": (f"{E}02..{E}04", [f"{E}02", f"{E}03", f"{E}04"]),
    "range-short": (f"{E}02..E04", [f"{E}02", f"{E}03", f"{E}04"]),
    "range-spaced": (f"{E}02 .. 04", [f"{E}02", f"{E}03", f"{E}04"]),
    "range-of-letters": (f"{F}5a..c", [f"{F}5a", f"{F}5b", f"{F}5c"]),
    "shorthand": (f"{E}01 E02, C10/C11 and C12", [f"{E}01", f"{E}02", f"{C}10", f"{C}11", f"{C}12"]),
    "shorthand-then-range": (f"{C}10, E02..E03", [f"{C}10", f"{E}02", f"{E}03"]),
    "open-point": (f"{C}10, U12, C11", [f"{C}10", f"{C}11"]),
    "field-of-a-row": (f"{F}1k", [f"{F}1"]),
    "fields-of-a-row": (f"{F}1a..k", [f"{F}1"]),
    "parent-of-rows": (f"{F}5", []),
    "odd-number": (f"{F}" "A, as well", [f"{F}" "A"]),
    "part-of-a-word": (f"X{E}01 {E}012", []),
}


class Project:
    """A project of a few rows around a copy of the program."""

    def __init__(self, folder):
        self.folder = folder
        self.write("tests/coverage", "")
        shutil.copy(ROOT / "tests" / "coverage", folder / "tests" / "coverage")
        self.rows()

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def rows(self, *, empty=(), outside=()):
        self.write("tests/contract_rows.tsv", "# rows\n" + "".join(
            f"{row}\t{'P, outside seed' if row in outside else 'S'}\titem{chr(9) + 'empty' if row in empty else ''}\n"
            for row in ROWS))

    def run(self, *arguments):
        done = subprocess.run([str(self.folder / "tests" / "coverage"), *arguments], capture_output=True, text=True,
                              check=False)
        return done.returncode, done.stdout

    def table(self):
        """Row -> what its tests are, of those that have any."""
        status, said = self.run()
        assert status == 0
        cells = [line.split(" | ") for line in said.splitlines() if line.startswith(("| MW", "| AS", "| FV"))]
        assert [c[0][2:] for c in cells] == ROWS
        return {c[0][2:]: c[3][:-2] for c in cells if c[3] != "- |"}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.mark.parametrize("name", READ)
def test_coverage_reads_a_citation(project, name):
    line, rows = READ[name]
    project.write("plugins/p/cases/x.case", f"case it does ({line})\n")
    assert list(project.table()) == sorted(rows, key=ROWS.index)


def test_coverage_reads_where_c_cites(project):
    project.write("tests/unit/test_x.c", f"""/* SPDX */
/* All of {E}01. */
#include "x.h"

/* ---- a section, {E}01 */

/* {E}02 */
static void test_x_above(void **state)
{{
    int inside = 0; /* {E}03 */
}}

static const char *const samples[] = {{
    "{E}04",
}};

static void test_x_beside(void **state) /* {E}05 */
{{
}}
""")
    above, beside = "`test_x.c::test_x_above`", "`test_x.c::test_x_beside`"
    assert project.table() == {f"{E}02": above, f"{E}03": above, f"{E}04": "`test_x.c`", f"{E}05": beside}


def test_coverage_reads_where_python_and_cases_cite(project):
    project.write("tests/system/test_y.py", f'''"""All of {E}01."""

# {E}01

SAMPLES = ["x"]  # {E}02


# {E}03
@decorated("{E}04")
def test_y():
    """{E}05"""


def helper():
    return "{C}10"
''')
    project.write("plugins/p/cases/x.case", f"# {E}01\ncase of {C}11\n# {E}01\nexpect done {E}01\n")
    test = "`test_y.py::test_y`"
    assert project.table() == {f"{E}02": "`test_y.py`", f"{E}03": test, f"{E}04": test, f"{E}05": test,
                               f"{C}10": "`test_y.py`", f"{C}11": "`p/x.case`"}


def test_coverage_names_three_tests_and_counts_the_rest(project):
    project.write("tests/system/test_y.py", "".join(f"def test_{n}():  # {E}01\n    pass\n" for n in range(5)))
    assert project.table() == {f"{E}01": "`test_y.py::test_0`, `test_y.py::test_1`, `test_y.py::test_2` +2"}


def check(project, cites, file="plugins/p/cases/x.case"):
    project.write(file, "".join(f"case ({row})\n" for row in cites))
    status, said = project.run("--check")
    last = said.splitlines()[-1]
    assert last.startswith("coverage: ") and ("0 failed" in last) == (status == 0)
    return status, said


def test_coverage_check_wants_a_test_for_each_row(project):
    assert check(project, ROWS)[0] == 0
    assert "test_x" not in (project.folder / "build" / "COVERAGE.md").read_text()
    assert "`p/x.case`" in (project.folder / "build" / "COVERAGE.md").read_text()
    status, said = check(project, ROWS[1:])
    assert status == 1 and f"{ROWS[0]} (item): no test cites it" in said
    project.rows(outside=ROWS[:1])
    assert check(project, ROWS[1:])[0] == 0


def test_coverage_check_takes_no_standins_test_for_one(project):
    project.write("tests/system/test_sandbox_y.py", f"def test_sandbox():  # {ROWS[0]}\n    pass\n")
    status, said = check(project, ROWS[1:])
    assert status == 1 and f"{ROWS[0]} (item): no test cites it but a stand-in's own" in said


def test_coverage_check_lets_the_marks_only_shrink(project):
    project.rows(empty=ROWS[:1])
    assert check(project, ROWS[1:])[0] == 0
    status, said = check(project, ROWS)
    assert status == 1 and f"{ROWS[0]} is no longer empty" in said


@pytest.mark.parametrize("wrong", [f"{E}06", f"{E}03..{E}01", f"{E}01, C13"])
def test_coverage_check_knows_each_id(project, wrong):
    status, said = check(project, [*ROWS, wrong])
    assert status == 1 and "is no row of the contracts" in said and "x.case:" in said


@pytest.mark.parametrize("theirs, words", [
    ("| {0} | item | S |", None), ("| {0} | item | P |", "not so in the contracts"),
    ("| {0} | item | S |\n| " + f"{E}09" + " | new | S |", f"lacks {E}09 S new"),
    ("", f"{ROWS[0]} S item: not so in the contracts")])
def test_coverage_check_holds_the_list_against_the_contracts(project, theirs, words):
    contracts = project.folder.parent / "shared" / "contracts"
    contracts.mkdir(parents=True)
    (contracts / "README.md").write_text("\n".join([theirs.format(ROWS[0]), *(f"| {row} | item | S |" for row in ROWS[1:])]))
    status, said = check(project, ROWS)
    assert (status == 0) == (words is None) and (words or "") in said
