"""The cases of tests/promql, *.test, put to Debian's Prometheus.

Our own engine runs them in tests/unit/promql_files_test.c; here `promtool test rules` serves as a calculator: every
expression is given an expectation that cannot come true, and what it says it got is compared with what the file
expects. So the expectations are proven by a peer, whoever wrote them down. A range is asked step by step.

Not asked: what is marked `unlike 2.42: reason` (and then 2.42 must really differ), what it has no syntax or no function for
(UNKNOWN below; then it must really refuse), histograms, and the names of errors.
"""
import json
import math
import pathlib
import re

import pytest

from conftest import run_command

FILES = sorted((pathlib.Path(__file__).resolve().parents[1] / "promql").glob("*.test"))
# What Prometheus learned after 2.42, and what only lapwing knows.
UNKNOWN = re.compile(r"""\b(limitk|limit_ratio|mad_over_time|sort_by_label|sort_by_label_desc|histogram_avg
    |histogram_std(dev|var)|double_exponential_smoothing|increase_exact|percentile|distinct|distinct_over_time)\b
    |\{\s*["'`]          # a name in quotes
    |[a-z]\.[a-z]        # a bare dotted name
    |["'`]\s*(=|!)       # a label name in quotes
    |\d_\d|\b0x_         # underscores between digits
    |\b(by|on|ignoring|without)\s*\(\s*["'`]""", re.VERBOSE)
# Durations that are numbers, and the other way round.
LITERALS = ("unexpected duration", "missing unit character", "expected duration")
UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000, "w": 604800000, "y": 31536000000}
GOT = re.compile(r"^        got: (.*)$", re.MULTILINE)


def milliseconds(text):
    sign = -1 if text.startswith("-") else 1
    parts = re.findall(r"(\d+)(ms|s|m|h|d|w|y)", text)
    return sign * sum(int(number) * UNITS[unit] for number, unit in parts)


def duration(ms):
    return f"{ms}ms"


class Case:
    def __init__(self, where, expr, times):
        self.where, self.expr, self.times = where, expr, times
        self.series, self.fails, self.unlike = [], False, False

    @property
    def numbers_only(self):
        return not any("{{" in values for _, values in self.series)


def split_series(line):
    """'a{b="c"} 1 2' -> labels as a dict, '1 2'."""
    found = re.match(r'([^\s{]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s*(.*)$', line)
    labels = dict(re.findall(r'([^\s,={]+)\s*=\s*"((?:[^"\\]|\\.)*)"', found[2] or ""))
    if found[1]:
        labels["__name__"] = found[1]
    return labels, found[3]


def expand(values):
    """The numbers of series notation, None for gaps."""
    out = []
    for item in values.split():
        gap = re.fullmatch(r"_(?:x(\d+))?", item)
        steps = re.fullmatch(r"(.+?)(?:([+-][\d.e]+))?x(\d+)", item)
        if gap:
            out += [None] * int(gap[1] or 1)
        elif steps:
            out += [float(steps[1]) + i * float(steps[2] or 0) for i in range(int(steps[3]) + 1)]
        else:
            out.append(float(item))
    return out


def read(path):
    """Lists of (load step, series lines, cases); a new one at each `clear`, `load` of another step, or load after a case."""
    groups = [(60000, [], [])]
    case = loading = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        word, _, rest = text.partition(" ")
        if not line.startswith(" "):
            case = loading = None
            step, series, cases = groups[-1]
            if word == "clear":
                groups.append((60000, [], []))
            elif word == "load":
                if series and step != milliseconds(rest):
                    groups.append((milliseconds(rest), [], []))
                elif cases or not series:
                    groups.append((milliseconds(rest), list(series), []))
                loading = groups[-1][1]
            elif word == "eval":
                case = read_eval(f"{path.name}:{number}", rest)
                cases.append(case)
        elif loading is not None:
            loading.append(text)
        elif word == "expect":
            case.fails |= rest.startswith("fail")
        elif word == "unlike":
            case.unlike = True
        elif text[0] == '"':
            case.series = None
        else:
            scalar = re.match(r"[-+.\d]|NaN|Inf", text)
            case.series.append(({}, text) if scalar else split_series(text))
    return groups


def read_eval(where, rest):
    instant = re.match(r"instant at (\S+) (.*)$", rest)
    if instant:
        return Case(where, instant[2], [milliseconds(instant[1])])
    span = re.match(r"range from (\S+) to (\S+) step (\S+) (.*)$", rest)
    start, end, step = (milliseconds(span[i]) for i in (1, 2, 3))
    return Case(where, span[4], list(range(start, end + 1, step)))


def names_of_histograms(series):
    return [re.match(r'[^\s{]+', line)[0] for line in series if "{{" in line and line[0] != "{"]


def askable(case, histograms):
    """In a form of promtool's: not a string, not before its beginning, numbers only."""
    if any(re.search(rf"(?<![\w:.]){re.escape(name)}(?![\w:.])", case.expr) for name in histograms):
        return False
    return case.series is not None and min(case.times) >= 0 and case.numbers_only and "@ start()" not in case.expr \
        and "@ end()" not in case.expr


def test_file(directory, step, series, cases):
    """The YAML (JSON is YAML) of one group; a question is (case, index of the step)."""
    questions = [(case, i) for case in cases for i in range(len(case.times))]
    inputs = []
    for line in series:
        name, values = re.match(r'((?:[^\s{]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?)\s*(.*)$', line).groups()
        if "{{" not in values and not name.startswith('{"') and "." not in name.split("{")[0]:
            # 2.42 cannot repeat NaN and Inf.
            spelled = re.sub(r"(NaN|[-+]?Inf)x(\d+)", lambda m: " ".join([m[1]] * (int(m[2]) + 1)), values)
            inputs.append({"series": name, "values": spelled})
    # A question at the very end keeps everything loaded.
    exprs = [{"expr": case.expr, "eval_time": duration(case.times[i]), "exp_samples": [{"labels": "never", "value": 1}]}
             for case, i in questions] + [{"expr": "vector(1)", "eval_time": "60d"}]
    body = {"evaluation_interval": "1m", "tests": [
        {"interval": duration(step), "input_series": inputs, "promql_expr_test": exprs}]}
    path = directory / "asked.yaml"
    path.write_text(json.dumps(body))
    return path, questions


test_file.__test__ = False


def answers(directory, group):
    """What promtool says to each question: a list of (labels, value), or the text of an error."""
    path, questions = test_file(directory, *group)
    done = run_command("promtool", "test", "rules", str(path), timeout=120)
    said = re.split(r"^    expr: ", done.stderr, flags=re.MULTILINE)[1:]
    assert len(said) == len(questions) + 1, done.stderr[:2000]
    return [(case, i, parse_answer(text)) for (case, i), text in zip(questions, said)]


def parse_answer(text):
    got = GOT.search(text)
    if not got:
        return text.split("err: ", 1)[1].strip()
    if got[1] == "nil":
        return []
    found = re.findall(r'(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}) ([-+\w.]+)(?:, |$)', got[1])
    return [(dict(re.findall(r'([^\s,={]+)="((?:[^"\\]|\\.)*)"', labels)), float(value)) for labels, value in found]


def wanted(case, step):
    out = []
    for labels, values in case.series:
        value = expand(values)[step]
        if value is not None:
            out.append((labels, value))
    return out


def same_number(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b)) or abs(a - b) < 1e-14


def same(expected, got):
    if len(expected) != len(got):
        return False
    key = lambda item: sorted(item[0].items())
    return all(x[0] == y[0] and same_number(x[1], y[1])
               for x, y in zip(sorted(expected, key=key), sorted(got, key=key)))


def is_news(case, answer):
    """2.42 has no syntax or no function for it."""
    return isinstance(answer, str) and "parse error" in answer and \
        (any(text in answer for text in LITERALS) or UNKNOWN.search(case.expr + " ") is not None)


def agrees(case, step, answer):
    if isinstance(answer, str):
        return case.fails
    return not case.fails and same(wanted(case, step), answer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prometheus_gives_the_same(path, tmp_path):
    problems, asked, differing = [], 0, {}
    for step, series, cases in read(path):
        cases = [case for case in cases if askable(case, names_of_histograms(series))]
        if not cases:
            continue
        for case, i, answer in answers(tmp_path, (step, series, cases)):
            asked += 1
            if agrees(case, i, answer):
                differing.setdefault(case.where, False)
            elif case.unlike:
                differing[case.where] = True
            elif not is_news(case, answer):
                expected = "an error" if case.fails else wanted(case, i)
                problems.append(f"{case.where}: {case.expr} at {case.times[i]} ms\n"
                                f"    expected {expected}\n    2.42 says {answer}")
        problems += [f"{case.where}: is marked `unlike 2.42` but is not" for case in cases
                     if case.unlike and not differing.get(case.where)]
    print(f"{path.name}: {asked} questions")
    assert not problems, "\n".join(problems)
