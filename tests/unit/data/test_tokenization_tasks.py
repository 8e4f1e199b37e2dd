"""Rows of seq2seq, seq_cls and token_cls as a model gets them, for tokenizers of several kinds."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tunewright.config.tasks import Task
from tunewright.data.examples.formats import Example, Message
from tunewright.data.tokenized import tokenized_cache
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample, encode, input_ids, text_rows, word_rows
from tunewright.data.tokenized.tokenized_preview import PreviewPiece, pieces, preview_rows
from tunewright.data.tokenized.tokenizer import TextTokenizer

TAGS = ("B-LOC", "I-LOC", "O")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PIECES = [
    *"abcdefghijklmnopqrstuvwxyz,.",
    "sch",
    "auble",
    "berlin",
    "big",
    "city",
    "how",
    "are",
    "you",
    "today",
    "fine",
    "say",
]


def bert() -> TextTokenizer:
    """[CLS] text [SEP] pair [SEP], pieces of words, no end token of its own but [SEP]."""
    vocabulary = [*SPECIAL, *PIECES, *(f"##{piece}" for piece in PIECES), "北", "京"]
    backend = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.add_special_tokens(SPECIAL)
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair, marks)
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]", "pad_token": "[PAD]"}
    return TextTokenizer(backend, names, None, (3,), frozenset(SPECIAL), 1)


def byte_level(template: processors.TemplateProcessing | None = None) -> TextTokenizer:
    """Bytes, with "北京" as one token; special tokens only by the template."""
    ((peking, _span),) = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("北京")
    halves = (peking[:3], peking[3:])
    merges = [pair for half in halves for pair in ((half[0], half[1]), (half[:2], half[2]))] + [halves]
    vocabulary = [
        "<s>",
        "</s>",
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(left + right for left, right in merges),
    ]
    backend = Tokenizer(models.BPE({token: n for n, token in enumerate(vocabulary)}, merges))
    backend.add_special_tokens(["<s>", "</s>"])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if template is not None:
        backend.post_processor = template
    return TextTokenizer(backend, {"eos_token": "</s>"}, None, (1,), frozenset({"<s>", "</s>"}), None)


MARKS = [("<s>", 0), ("</s>", 1)]
LIKE_T5 = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", MARKS)
LIKE_BART = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", MARKS)
LIKE_LLAMA = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", MARKS)


def only(
    example: Example, tokenizer: TextTokenizer, task: Task, limit: int | None = None, **more: object
) -> TokenizedExample:
    (row,), problems = encode([example], tokenizer, task=task, max_length=limit, **more)  # type: ignore[arg-type]
    assert problems == []
    return row


def tokens(ids: list[int] | list[float], tokenizer: TextTokenizer) -> list[str]:
    return [str(tokenizer.backend.id_to_token(int(i))) for i in ids]


def as_example(source: str, target: str, *before: Message) -> Example:
    return Example(1, "f", 1, (*before, Message("user", source), Message("assistant", target)))


def words(text: str, tags: str) -> Example:
    return Example(4, "f", 9, words=tuple(text.split(" ")), tags=tuple(tags.split()))


def tags_of(row: TokenizedExample, tokenizer: TextTokenizer) -> list[tuple[str, str]]:
    """The tokens that have a tag, with it."""
    pairs = zip(tokens(row.input_ids, tokenizer), row.labels, strict=True)
    return [(token, TAGS[int(label)]) for token, label in pairs if label != IGNORED]


class TestSeq2seq:
    def test_calls_of_tools_have_no_form_without_a_template(self) -> None:
        call = {"type": "function", "function": {"name": "f", "arguments": {}}}
        calling = Example(3, "f", 1, (Message("user", "a"), Message("assistant", "", tool_calls=(call,))))
        rows, (problem,) = encode([calling], byte_level(), task="seq2seq", max_length=None)
        assert (rows, problem.code, problem.fixes()) == ([], "E235", ["leave such rows out, counted: --skip-bad"])

    def test_thinking_is_learned_masked_or_dropped_with_the_answer(self) -> None:
        thought = Example(3, "f", 1, (Message("user", "a"), Message("assistant", "c", reasoning="b")))
        for thinking, expected in (("learn", "<think>\nb\n</think>\n\nc"), ("mask", "c"), ("drop", "c")):
            (row,), _problems = encode([thought], byte_level(), task="seq2seq", max_length=None, thinking=thinking)  # type: ignore[arg-type]
            assert byte_level().decode([int(label) for label in row.labels]) == expected

    def test_source_and_target_have_the_tokenizers_special_tokens(self) -> None:
        for tokenizer, source, target in [
            (byte_level(LIKE_T5), ["big", "</s>"], ["city", "</s>"]),
            (byte_level(LIKE_BART), ["<s>", "big", "</s>"], ["<s>", "city", "</s>"]),
            (byte_level(), ["big"], ["city", "</s>"]),
        ]:
            row = only(as_example("big", "city"), tokenizer, "seq2seq")
            assert ("".join(tokens(row.input_ids, tokenizer)), "".join(tokens(row.labels, tokenizer))) == (
                "".join(source), "".join(target)
            )  # fmt: skip
            assert (row.prompt_length, row.full_length) == (len(row.input_ids), len(row.input_ids) + len(row.labels))
            assert not row.is_truncated

    def test_the_source_is_all_that_stands_in_front_of_the_last_answer(self) -> None:
        tokenizer = byte_level(LIKE_T5)
        row = only(as_example("c", "d", Message("system", "a"), Message("user", "b")), tokenizer, "seq2seq")
        assert tokenizer.decode(row.input_ids) == "a\nb\nc"
        assert input_ids("a\nb\nc", tokenizer) == row.input_ids

    def test_a_cut_source_keeps_its_end_and_a_cut_target_does_not(self) -> None:
        tokenizer = byte_level(LIKE_T5)
        row = only(as_example("berlin is a big city " * 5, "schäuble rejects lambs " * 5), tokenizer, "seq2seq", 8)
        assert (len(row.input_ids), len(row.labels)) == (8, 8)
        assert (row.input_ids[-1], row.labels[-1] == 1) == (1, False)
        assert row.is_truncated
        assert row.prompt_length > 8
        assert row.full_length - row.prompt_length > 8

    def test_only_the_cut_side_is_cut(self) -> None:
        tokenizer = byte_level(LIKE_T5)
        row = only(as_example("berlin is a big city " * 5, "lambs"), tokenizer, "seq2seq", 8)
        assert row.is_truncated
        assert row.labels[-1] == 1

    def test_a_tokenizer_without_end_tokens_names_the_row(self) -> None:
        tokenizer = byte_level()
        endless = TextTokenizer(tokenizer.backend, {}, None, (), frozenset(), None)
        rows, (problem,) = encode([as_example("q", "a")], endless, task="seq2seq", max_length=None)
        assert (rows, problem.code) == ([], "E214")

    @pytest.mark.parametrize(
        ("source", "target", "field"), [("\u200b", "city", "prompt"), ("city", "\u200b", "answer")]
    )
    def test_a_text_that_no_token_comes_of_names_the_row(self, source: str, target: str, field: str) -> None:
        rows, (problem,) = encode([as_example(source, target)], bert(), task="seq2seq", max_length=None)
        assert (rows, problem.code, problem.values["field"]) == ([], "E227", field)


class TestSeqCls:
    def test_labels_are_a_class_a_set_or_a_number(self) -> None:
        def labels(target: str | tuple[str, ...] | float) -> list[int] | list[float]:
            example = Example(1, "f", 1, text="big city", target=target)
            return only(example, bert(), "seq_cls", labels=("a", "b", "c")).labels

        assert labels("b") == [1]
        assert labels(("c", "a")) == [1, 0, 1]
        assert labels(()) == [0, 0, 0]
        assert labels(0.25) == [0.25]

    def test_a_pair_is_written_as_the_tokenizer_does(self) -> None:
        example = Example(1, "f", 1, text="big", pair="city", target=0.0)
        for tokenizer, text, first in [
            (bert(), "[CLS] big [SEP] city [SEP]", "[CLS] big [SEP]"),
            (byte_level(LIKE_BART), "<s>big</s></s>city</s>", ""),
            (byte_level(LIKE_T5), "big</s>city</s>", ""),
            (byte_level(LIKE_LLAMA), "<s>big\ncity", ""),
            (byte_level(), "big\ncity", ""),
        ]:
            row = only(example, tokenizer, "seq_cls")
            assert tokenizer.decode(row.input_ids, skip_special_tokens=False) == text
            assert tokenizer.decode(row.input_ids[: row.prompt_length], skip_special_tokens=False) == first
            (new,) = text_rows([("big", "city")], tokenizer)
            assert (new.input_ids, new.prompt_length, new.labels) == (row.input_ids, row.prompt_length, [])

    @pytest.mark.parametrize(
        ("text", "pair", "cut"),
        [
            ("how are you today", "", "[CLS] how are you [SEP]"),
            ("how are you", "fine", "[CLS] how [SEP] fine [SEP]"),
            ("how", "fine i say", "[CLS] how [SEP] fine [SEP]"),
        ],
    )
    def test_the_longer_text_is_cut_and_closing_tokens_stay(self, text: str, pair: str, cut: str) -> None:
        tokenizer = bert()
        row = only(Example(1, "f", 1, text=text, pair=pair, target=1.0), tokenizer, "seq_cls")
        encoding = tokenizer.backend.encode(cut.replace(" [SEP]", "").replace("[CLS] ", ""))
        limit = len(encoding.ids) - 2 + cut.count("[SEP]") + 1
        short = only(Example(1, "f", 1, text=text, pair=pair, target=1.0), tokenizer, "seq_cls", limit)
        assert tokenizer.decode(short.input_ids, skip_special_tokens=False) == cut
        assert (short.is_truncated, short.full_length) == (True, len(row.input_ids))

    def test_a_text_of_nothing_but_invisible_characters_names_the_row(self) -> None:
        example = Example(3, "f", 5, text="\u200b\u200d", target="a")
        rows, (problem,) = encode([example], bert(), task="seq_cls", labels=("a",), max_length=None)
        assert (rows, problem.code, problem.where.line, problem.values["row"]) == ([], "E227", 5, 3)


class TestTokenCls:
    @pytest.mark.parametrize("label_last", [False, True])
    def test_each_word_has_its_tag_on_one_token(self, label_last: bool) -> None:
        tokenizer = bert()
        row = only(
            words("berlin schäubles city .", "B-LOC I-LOC O O"),
            tokenizer,
            "token_cls",
            labels=TAGS,
            label_last=label_last,
        )
        tags = tags_of(row, tokenizer)
        assert [tag for _token, tag in tags] == ["B-LOC", "I-LOC", "O", "O"]
        assert all(token.startswith("##") == label_last for token, _tag in tags[1:2])
        assert (row.labels[0], row.labels[-1]) == (IGNORED, IGNORED)

    def test_words_are_joined_as_they_are_written(self) -> None:
        tokenizer = byte_level()
        for text, joined in [("big city", "big city"), ("北 中 city 京", "北中 city 京"), ("서울 은", "서울 은")]:
            row = only(words(text, "O " * len(text.split())), tokenizer, "token_cls", labels=TAGS)
            assert tokenizer.decode(row.input_ids) == joined
            assert sum(label != IGNORED for label in row.labels) == len(text.split())

    @pytest.mark.parametrize("label_last", [False, True])
    def test_no_token_answers_for_two_words(self, label_last: bool) -> None:
        tokenizer = byte_level()
        assert len(tokenizer.encode("北京")) == 1
        row = only(words("北 京 big", "B-LOC I-LOC O"), tokenizer, "token_cls", labels=TAGS, label_last=label_last)
        assert tokenizer.decode(row.input_ids) == "北 京 big"
        assert [tag for _token, tag in tags_of(row, tokenizer)] == ["B-LOC", "I-LOC", "O"]

    def test_a_character_of_several_tokens_has_one_tag(self) -> None:
        tokenizer = byte_level()
        for label_last in (False, True):
            row = only(words("🙂 big", "B-LOC O"), tokenizer, "token_cls", labels=TAGS, label_last=label_last)
            assert [label for label in row.labels if label != IGNORED] == [0, 2]
            assert row.labels.index(0) == (3 if label_last else 0)

    def test_words_that_are_cut_off_have_no_tag(self) -> None:
        row = only(words("how are you today", "O O O O"), bert(), "token_cls", 5, labels=TAGS)
        assert (len(row.input_ids), row.is_truncated) == (5, True)
        assert 0 < sum(label != IGNORED for label in row.labels) < 4

    def test_a_row_of_which_no_tag_is_left_is_named(self) -> None:
        example = words("schäuble" * 9, "B-LOC")
        (row,), _ = encode([example], bert(), task="token_cls", labels=TAGS, max_length=8)
        assert row.is_truncated
        rows, (problem,) = encode([example], bert(), task="token_cls", labels=TAGS, max_length=8, label_last=True)
        assert (rows, problem.code, problem.values["needed"]) == ([], "E209", row.full_length)

    def test_a_word_without_token_is_unknown_and_shifts_no_tag(self) -> None:
        tokenizer = bert()
        row = only(words("big \ufe0f\u200d city", "O B-LOC I-LOC"), tokenizer, "token_cls", labels=TAGS)
        assert [tag for _token, tag in tags_of(row, tokenizer)] == ["O", "B-LOC", "I-LOC"]
        assert tags_of(row, tokenizer)[1] == ("[UNK]", "B-LOC")

    def test_a_row_whose_words_get_no_token_is_named(self) -> None:
        rows, (problem,) = encode(
            [words("\u200b \ufe0f", "O O")], bert(), task="token_cls", labels=TAGS, max_length=None
        )
        assert (rows, problem.code, problem.where.line, problem.values["row"]) == ([], "E227", 9, 4)

    def test_a_word_that_alone_gets_no_token_is_named_where_nothing_is_unknown(self) -> None:
        nothing_unknown = bert()
        no_unknown = TextTokenizer(nothing_unknown.backend, {}, None, (3,), frozenset(), None)
        rows, (problem,) = encode(
            [words("big \u200b", "O O")], no_unknown, task="token_cls", labels=TAGS, max_length=None
        )
        assert (rows, problem.message()) == ([], "the tokenizer makes no token of words[1]")

    def test_new_words_are_read_where_trained_ones_were(self) -> None:
        for tokenizer in (bert(), byte_level()):
            for label_last in (False, True):
                row = only(words("schäuble 北 京", "O O O"), tokenizer, "token_cls", labels=TAGS, label_last=label_last)
                (new,) = word_rows([("schäuble", "北", "京")], tokenizer, label_last=label_last)
                assert new.input_ids == row.input_ids
                assert [label != IGNORED for label in new.labels] == [label != IGNORED for label in row.labels]


@pytest.mark.parametrize("task", ["seq2seq", "seq_cls", "token_cls", "regression"])
def test_encoded_rows_of_every_task_come_back_from_the_cache(task: str, tmp_path: Path) -> None:
    long = "how are you today " * 3
    rows = {
        "seq2seq": lambda: [only(as_example(long[: 4 * n], "fine"), bert(), "seq2seq", 9) for n in range(1, 5)],
        "seq_cls": lambda: [only(Example(1, "f", 1, text="big", target=("a",)), bert(), "seq_cls", labels=("a", "b"))],
        "token_cls": lambda: [only(words("how are", "O B-LOC"), bert(), "token_cls", labels=TAGS)],
        "regression": lambda: [only(Example(n, "f", 1, text=long, target=n / 3), bert(), "seq_cls", 8) for n in (1, 3)],
    }[task]()
    path = tmp_path / "rows"
    path.write_bytes(tokenized_cache.dump(rows))
    loaded = tokenized_cache.load(path)
    assert list(loaded or []) == rows
    assert [list(map(type, row.labels)) for row in loaded or []] == [list(map(type, row.labels)) for row in rows]
    path.write_bytes(tokenized_cache.dump(rows)[:-1])
    assert tokenized_cache.load(path) is None


class TestPieces:
    def marked_text(self, row_pieces: list[PreviewPiece]) -> str:
        return "".join(f"[[{piece.text}]]" if piece.is_learned else piece.text for piece in row_pieces)

    def test_a_text_is_followed_by_what_is_learned_of_it(self) -> None:
        tokenizer = bert()

        def label(target: str | tuple[str, ...] | float, problem_type: str) -> str:
            row = only(Example(1, "f", 1, text="big", target=target), tokenizer, "seq_cls", labels=("a", "b"))
            return self.marked_text(pieces(row, tokenizer, "seq_cls", ("a", "b"), problem_type))  # type: ignore[arg-type]

        assert label("b", "single_label_classification") == "[CLS] big [SEP] -> [[b]]"
        assert label(("b", "a"), "multi_label_classification") == "[CLS] big [SEP] -> [[a, b]]"
        assert label(0.5, "regression") == "[CLS] big [SEP] -> [[0.5]]"

    def test_a_source_is_followed_by_its_target(self) -> None:
        tokenizer = byte_level(LIKE_T5)
        row = only(as_example("big", "city"), tokenizer, "seq2seq")
        assert self.marked_text(pieces(row, tokenizer, "seq2seq")) == "big</s>\n[[city</s>]]"

    def test_a_tag_stands_behind_the_token_that_answers_for_its_word(self) -> None:
        tokenizer = byte_level()
        row = only(words("北 中 big", "B-LOC I-LOC O"), tokenizer, "token_cls", labels=TAGS, label_last=True)
        assert self.marked_text(pieces(row, tokenizer, "token_cls", TAGS)) == "北[[/B-LOC]]中[[/I-LOC]] big[[/O]]"
        encoder = bert()
        row = only(words("how are you", "O O O"), encoder, "token_cls", labels=TAGS, label_last=True)
        assert self.marked_text(pieces(row, encoder, "token_cls", TAGS)) == "[CLS] how[[/O]] are[[/O]] you[[/O]] [SEP]"

    def test_learned_parts_of_a_conversation_are_cut_out(self) -> None:
        tokenizer = byte_level()
        row = TokenizedExample(1, tokenizer.encode("big city"), [IGNORED, *tokenizer.encode("big city")[1:]], 1, 2)
        first, rest = (tokenizer.decode(part) for part in (row.input_ids[:1], row.input_ids[1:]))
        assert self.marked_text(pieces(row, tokenizer)) == f"{first}[[{rest}]]"

    def test_shortest_middle_and_longest_row_are_kept_for_files(self) -> None:
        tokenizer = byte_level()
        texts = ["big city " * n for n in (5, 1, 3, 2, 4)]
        rows = [
            TokenizedExample(n, ids := tokenizer.encode(text), [IGNORED, *ids[1:]], 1, len(ids))
            for n, text in enumerate(texts)
        ]
        samples = preview_rows(rows, tokenizer, "causal_lm")
        assert [row.row for row in samples] == [1, 2, 0]
        assert ["".join(piece.text for piece in row.pieces) for row in samples] == [texts[1], texts[2], texts[0]]
        assert samples[0].label_tokens == samples[0].tokens - 1
        assert (
            len(preview_rows(rows[:1], tokenizer, "causal_lm")) == 1 and preview_rows([], tokenizer, "causal_lm") == []
        )
