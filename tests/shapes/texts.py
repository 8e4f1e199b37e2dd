"""Plain text, and what stands inside texts: control characters, white space."""

from tests.shapes.json_forms import lines
from tests.shapes.shape import Shape

GROUP = "Text"
SENTENCES = ("The lamp is red.", "The vase is blue and tall.", "The bell rings.", "It is late.")
WRAPPED = "The lamp is of brass and glass and it is very\nheavy to carry, so nobody has ever tried to move\nit from the window where the sun falls on it and\nwarms it."


def shape(name: str, file: str, content: str, what: str, *learned: str, **more: object) -> Shape:
    return Shape(name, GROUP, file, content, what, learned, **more)  # type: ignore[arg-type]


def answers(*texts: str) -> str:
    return lines(*({"prompt": f"q {n}", "completion": text} for n, text in enumerate(texts)))


SHAPES = (
    shape("text-jsonl", "a.jsonl", lines({"text": "one"}, {"text": "two"}), "a text in each row", "one", "two"),
    shape("text-lines", "a.txt", "\n".join(SENTENCES), "without blank lines each line is a row", *SENTENCES, warns=("W237",)),
    shape("text-lines-words", "a.txt", "red lamp\nblue vase\nbell\na very tall green vase\n", "short lines too", "red lamp", "blue vase", "bell",
          "a very tall green vase", warns=("W237",)),
    shape("text-lines-chinese", "a.txt", "今天的天气很好。\n我们去公园玩。\n大家都很高兴。\n", "in Chinese too", "今天的天气很好。", "我们去公园玩。",
          "大家都很高兴。", warns=("W237",)),
    shape("text-paragraphs", "a.txt", "One\ntwo.\n\nThree.\n", "with blank lines each paragraph is a row", "One\ntwo.", "Three.", warns=("W237",)),
    shape("text-wrapped", "a.txt", WRAPPED + "\n", "lines broken to a width are one text", WRAPPED, warns=("W237",)),
    shape("text-cr", "a.txt", "\r".join(SENTENCES), "line ends of old Macs", *SENTENCES, warns=("W237",)),
    shape("text-form-feed", "a.txt", "Page one.\n\n\fPage two.\n", "form feeds of PDF texts stay", "Page one.", "\fPage two.", warns=("W237",)),
    shape("text-markdown", "a.md", "# One\n\nTwo.\n\nThree.\n", "a Markdown file is one text", "# One\n\nTwo.\n\nThree.", warns=("W237",)),
    shape("text-document", "a.txt", "One\ntwo.\n\nThree.\n", "so is a .txt file, if that is asked for", "One\ntwo.\n\nThree.",
          settings={"data.sample_by": "document"}, warns=("W237",)),
    shape("text-vertical-tab", "a.jsonl", answers("a\u000bb", "c\u000cd"), "vertical tabs of slides and form feeds are white space", "a\u000bb",
          "c\u000cd"),
    shape("text-next-line", "a.jsonl", answers("a\u0085b", "c\u2028d", "e\u2029f", "g\u00a0h"), "so are other white characters", "a\u0085b", "c\u2028d",
          "e\u2029f", "g\u00a0h"),
    shape("text-zero-width", "a.jsonl", answers("a\u200bb", "c\ufeffd", "\U0001f469\u200d\U0001f4bb"), "invisible characters stay", "a\u200bb", "c\ufeffd",
          "\U0001f469\u200d\U0001f4bb"),
    shape("text-escape", "a.jsonl", answers("a \u001b[1mb\u001b[0m c", "d"), "terminal control sequences are not text", "a b c", "d", code="E244",
          fix="--set data.control_characters=remove"),
    shape("text-c1", "a.jsonl", answers("it\u0092s", "\u0093so\u0094"), "marks of Windows that were read as Latin-1 are mended", "it’s", "“so”", code="E244",
          fix="--set data.control_characters=remove"),
    shape("text-bell", "a.csv", "prompt,completion\nq,a\u0007b\nr,c\ns,d\nt,e\nu,f\n", "other control characters cost their row", "c", "d", "e", "f",
          left_out=1, code="E244", fix="--skip-bad"),
    shape("text-nul", "a.jsonl", answers("c", "d", "e", "f") + '{"prompt": "q", "completion": "a\\u0000b"}\n', "NUL is damage", "c", "d", "e", "f",
          left_out=1, code="E205", fix="--skip-bad"),
    shape("text-empty-answer", "a.jsonl", answers("c", "d", "e", "f", " \n"), "only white space is empty", "c", "d", "e", "f", left_out=1,
          code="E203", fix="--skip-bad"),
    shape("text-with-score", "a.jsonl", lines({"text": "one", "score": 0.9}, {"text": "two", "score": 0.5}), "a score beside a text is not used",
          "one", "two"),
    shape("text-missing", "nowhere.jsonl", {}, "nothing is there", code="E201"),
)  # fmt: skip
