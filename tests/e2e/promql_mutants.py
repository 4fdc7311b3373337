"""Broken queries: valid ones with tokens dropped, doubled, swapped, cut off or put in.

    for text in mutants(random.Random(7), corpus, 1000): ...

NEW_IN_3 says of a text that 2.42 refuses, by the text and by 2.42's own sentence, why Prometheus 3 (or
lapwing, where it says so) takes it.
"""
import re

TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\d+\w*(?:\.\d+)?|[A-Za-z_:][\w:]*|[=!<>]=|=~|!~|\s+|.', re.S)
PIECES = """( ) { } [ ] , : " ' ` + - * / % ^ == != < >= =~ !~ = @ offset by without on ignoring
group_left group_right bool sum topk count_values up rate 1 5m 0x1f 1e3 Inf nan start end start() end()
and or unless atan2 "a" {a="b"} [5m] [5m:1m] [5m:] (up) () on() 1m30s ms y _ a:b é ; $ ! ~ & | \\ .
__name__ le {} -- +- 1. .5 08 017 1_000 0b1 5m5 5M 1w1d 1d1w 1.5h 5hs "\\x" "\\400" '' {"a"} time()
vector(1) label_replace absent scalar quantile Sum BY OFFSET Bool NaN +Inf""".split() + [
    "by (a)", "without ()", "on ()", "group_left ()", "offset 5m", "offset -5m", "@ 1", "@ end()", "#", "\n",
    " ", "\t", "\x01", "\u00a0"]

NEW_IN_3 = [
    ("a duration is a number", r"\d(ms|[smhdwy])", r"unexpected duration|trailing commas"),
    ("a number is a duration", None, r"missing unit character|expected duration"),
    ("underscores between digits", r"\d_\d", r"bad (number|duration)"),
    ("names in quotes", r"[\"'`]", r"unexpected string"),
    ("histograms are trimmed by </ and >/", r"</|>/", r"unexpected <op:/>"),
    ("lapwing: a bare dotted name", r"[\w:]\.\w", None),
    ("lapwing: the one word that Prometheus' grammar forgets among labels", None,
     r"<without> in grouping opts, expected label"),
]
GONE_IN_3 = [
    ("renamed", r"holt_winters"),
    ("a name given twice by =", r"__name__="),
    ("2.42 passes over a letter between brackets", r"\[[^\]]*\s[A-Za-z_]"),
]


def why_taken(text, refusal):
    """Why a text that 2.42 refuses with this sentence is taken; None when nothing says so."""
    for why, pattern, sentence in NEW_IN_3:
        if (not pattern or re.search(pattern, text)) and (not sentence or re.search(sentence, refusal)):
            return why
    return None


def why_refused(text):
    return next((why for why, pattern in GONE_IN_3 if re.search(pattern, text)), None)


def mutate(rng, corpus):
    tokens = TOKEN.findall(rng.choice(corpus))
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        at = rng.randrange(len(tokens) + 1)
        other = TOKEN.findall(rng.choice(corpus))
        start = rng.randrange(len(other))
        tokens = rng.choice([
            lambda: tokens[:at] + tokens[at + 1:],
            lambda: tokens[:at] + tokens[at:at + 1] * 2 + tokens[at + 1:],
            lambda: tokens[:at],
            lambda: tokens[:at] + [rng.choice(PIECES)] + tokens[at:],
            lambda: tokens[:at] + [f" {rng.choice(PIECES)} "] + tokens[at:],
            lambda: tokens[:at] + [rng.choice(PIECES)] + tokens[at + 1:],
            lambda: tokens[:at] + other[start:start + 3] + tokens[at:],
            lambda: tokens[at:] + tokens[:at],
        ])()
    return "".join(tokens)


def mutants(rng, corpus, count):
    """`count` different ones."""
    found = {}
    while len(found) < count:
        found.setdefault(mutate(rng, corpus))
    return list(found)
