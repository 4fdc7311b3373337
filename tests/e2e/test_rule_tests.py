"""`lapwing test rules` beside `promtool test rules`: the same files, the same verdicts and words.

The files are in rules/. Their first line may say `# fails`, or `# ours only` for what Prometheus 2.42
does not know yet.
"""
import pathlib
import subprocess

import pytest

from conftest import COMMAND, run_command

RULES = pathlib.Path(__file__).parent / "rules"
FILES = sorted(path.name for path in RULES.glob("*.yaml"))
# What cannot be read is said in words of our own, with file, line and column.
OWN_WORDS = {"bad_rule_file.yaml": 'bad_key.rules:6:5: unknown key "fore"; did you mean "for"?',
             "bad_values.yaml": '1:5: parse error: unexpected "three" in series values',
             "group_order_twice.yaml": "group_order_twice.yaml:3:26: group name repeated",
             "unknown_key.yaml": 'unknown_key.yaml:5:3: unknown key "input"'}


def first_line(name):
    return (RULES / name).read_text().splitlines()[0]


def ours(what, *names):
    return subprocess.run([COMMAND, what, "rules", *names], cwd=RULES, capture_output=True,
                          text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", FILES)
def test_verdict_and_words_are_those_of_promtool(name):
    fails = "# fails" in first_line(name)
    mine = ours("test", name)
    assert mine.returncode == (1 if fails else 0), mine.stdout + mine.stderr
    assert ("  FAILED:" in mine.stderr) == fails
    assert ("  SUCCESS" in mine.stdout) != fails
    if "# ours only" in first_line(name):
        return
    theirs = run_command("promtool", "test", "rules", name, cwd=RULES)
    assert (mine.returncode, mine.stdout) == (theirs.returncode, theirs.stdout)
    if name in OWN_WORDS:
        assert OWN_WORDS[name] in mine.stderr
    else:
        assert mine.stderr == theirs.stderr


def test_several_files_are_one_verdict():
    mine = ours("test", "rates.yaml", "wrong_sample.yaml", "absent.yaml")
    assert mine.returncode == 1
    assert mine.stdout.count("Unit Testing:") == 3 and mine.stdout.count("  SUCCESS") == 2


def test_a_file_that_is_not_there():
    mine = ours("test", "nowhere.yaml")
    assert mine.returncode == 1 and "nowhere.yaml" in mine.stderr


def test_nothing_is_left_behind(tmp_path):
    done = subprocess.run([COMMAND, "test", "rules", "rates.yaml"], cwd=RULES, check=False,
                          env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin"}, capture_output=True)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []


def test_rule_files_are_checked():
    good = ours("check", "shop.rules", "chain.rules")
    theirs = run_command("promtool", "check", "rules", "shop.rules", "chain.rules", cwd=RULES)
    assert (good.returncode, good.stdout) == (theirs.returncode, theirs.stdout)
    bad = ours("check", "shop.rules", "bad_key.rules")
    assert bad.returncode == 1 and "  SUCCESS: 5 rules found" in bad.stdout
    assert bad.stderr == "  FAILED:\n" + OWN_WORDS["bad_rule_file.yaml"] + "\n"


def test_the_command_says_what_it_wants():
    for arguments in (["test"], ["test", "rules"], ["check", "files", "x"]):
        done = run_command(COMMAND, *arguments)
        assert done.returncode == 2 and "rules FILE" in done.stderr
