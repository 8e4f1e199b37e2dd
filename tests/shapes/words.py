"""Words with tags: lists, one word a row, CoNLL under any name."""

import json

from tests.shapes.json_forms import lines
from tests.shapes.shape import Shape

GROUP = "Words and tags"
WORDS, TAGS = ("Anna", "lives", "in", "Kiel"), ("B-PER", "O", "O", "B-LOC")
SECOND, OTHER = ("Omar", "left", "Graz"), ("B-PER", "O", "B-LOC")
LEARNED = ("".join(f"/{tag}" for tag in TAGS), "".join(f"/{tag}" for tag in OTHER))
BOTH = ((WORDS, TAGS), (SECOND, OTHER))


def conll(separator: str = " ", middle: tuple[str, ...] = (), between: str = "\n") -> str:
    parts = [
        "".join(separator.join((word, *middle, tag)) + "\n" for word, tag in zip(*pair, strict=True)) for pair in BOTH
    ]
    return between.join(parts)


def by_word(header: str, *, filled: bool = True, separator: str = ",", between: str = "") -> str:
    text = header + "\n"
    for number, (words, tags) in enumerate(BOTH, 1):
        for place, (word, tag) in enumerate(zip(words, tags, strict=True)):
            name = f"Sentence: {number}" if filled or place == 0 else ""
            text += separator.join(([name] if header.startswith("S") else []) + [word, "NN", tag]) + "\n"
        text += between
    return text


def shape(name: str, file: str, content: str, what: str, **more: object) -> Shape:
    options = {"task": "token_cls", "reader": "encoder", "settings": {"data.holdout": 0}, "learned": LEARNED, **more}
    return Shape(name, GROUP, file, content, what, **{"warns": (), **options})  # type: ignore[arg-type]


SHAPES = (
    shape("ner-lists", "a.jsonl", lines(*({"tokens": w, "ner_tags": t} for w, t in BOTH)), "lists of words and of tags"),
    shape("ner-lists-auto", "a.jsonl", lines(*({"tokens": w, "ner_tags": t} for w, t in BOTH)), "they name their task", task=None),
    shape("ner-numbers", "a.jsonl", lines({"tokens": WORDS, "ner_tags": [1, 0, 0, 3]}, {"tokens": SECOND, "ner_tags": [1, 0, 3]}),
          "numbers as tags", learned=("/1/0/0/3", "/1/0/3")),
    shape("ner-texts", "a.csv", f"words,tags\n{' '.join(WORDS)},{' '.join(TAGS)}\n{' '.join(SECOND)},{' '.join(OTHER)}\n",
          "words and tags separated by blanks"),
    shape("ner-pandas", "a.csv", "tokens,tags\n" + "".join(f'"{list(w)}","{list(t)}"\n' for w, t in BOTH), "lists as pandas writes them"),
    shape("ner-columns", "a.json", json.dumps({"tokens": [w for w, _t in BOTH], "tags": [t for _w, t in BOTH]}), "a table by column"),
    shape("ner-entities-first", "a.jsonl", lines(*({"words": w, "pos": ["X"] * len(w), "ner": t} for w, t in BOTH)),
          "entities go before parts of speech"),
    shape("conll", "a.conll", conll("\t"), "a word and a tag a line"),
    shape("conll-columns", "a.conll", conll(" ", ("NNP", "B-NP")), "the last column is the tag"),
    shape("conll-docstart", "a.bio", "-DOCSTART- -X- O O\n\n" + conll(" ", ("NNP", "B-NP")), "the files of CoNLL-2003"),
    shape("conll-as-txt", "train.txt", "-DOCSTART- -X- O O\n\n" + conll(" ", ("NNP", "B-NP")), "named .txt"),
    shape("conll-as-txt-auto", "a.txt", conll(), "the task is seen too", task=None),
    shape("conll-as-txt-tabs", "a.txt", conll("\t"), "separated by tabs"),
    shape("conll-as-tsv", "a.tsv", conll("\t"), "named .tsv, without a header"),
    shape("conll-as-tsv-header", "a.tsv", "word\ttag\n" + conll("\t"), "with a header"),
    shape("conll-as-csv", "a.csv", conll(","), "named .csv, blank lines between sentences"),
    shape("conll-bioes", "a.iob", "Anna S-PER\nin O\nNew B-LOC\nYork E-LOC\n\nOmar S-PER\nin O\nNew B-LOC\nOrleans E-LOC\n\nAda S-PER\nleft O\n",
          "other schemes of tags", learned=("/S-PER/O/B-LOC/E-LOC",) * 2 + ("/S-PER/O",), ),
    shape("conll-bmes", "a.txt", "上 B-LOC\n海 M-LOC\n市 E-LOC\n民 O\n\n他 S-PER\n走 O\n", "the middle of an entity as M",
          learned=("/B-LOC/M-LOC/E-LOC/O", "/S-PER/O"), warns=("W217",)),
    shape("conll-tag-first", "a.bio", "".join(f"{t}\t{w}\n" for w, t in zip(WORDS, TAGS, strict=True)) + "\n"
          + "".join(f"{t}\t{w}\n" for w, t in zip(SECOND, OTHER, strict=True)), "the tag before its word, as the MIT corpora have it"),
    shape("conll-tag-first-txt", "a.txt", "".join(f"{t} {w}\n" for w, t in zip(WORDS, TAGS, strict=True)) + "\n"
          + "".join(f"{t} {w}\n" for w, t in zip(SECOND, OTHER, strict=True)), "under another name"),
    shape("ner-masked", "a.jsonl", lines(*({"tokens": w, "ner_tags": t} for w, t in BOTH), {"tokens": ["in", "Rom"], "ner_tags": [-100, 0]}),
          "-100 is no tag", left_out=1, code="E206", fix="--skip-bad", then="E215"),
    shape("ner-case", "a.jsonl", lines(*({"tokens": w, "ner_tags": t} for w, t in BOTH), {"tokens": ["in", "Rom"], "ner_tags": ["o", "B-LOC"]}),
          "tags that differ in case: it is said", learned=(*LEARNED, "/o/B-LOC"), warns=("W235", "W217")),
    shape("ner-numbers-and-names", "a.jsonl", lines({"tokens": WORDS, "ner_tags": TAGS}, {"tokens": SECOND, "ner_tags": [1, 0, 3]}),
          "numbers in one row, names in another: it is said", learned=(LEARNED[0], "/1/0/3"), warns=("W250", "W217")),
    shape("conll-as-txt-pos", "a.txt", "Anna NNP\nlives VBZ\n\nOmar NNP\nleft VBD\n", "tags that only an extension tells",
          learned=(), code="E229"),
    shape("words-by-row-empty-rows", "a.csv", by_word("Sentence #,Word,POS,Tag", between=",,,\n"), "empty rows between sentences", warns=("W239",)),
    shape("conllu-as-txt", "a.txt", "1\tAnna\ta\tPROPN\t_\t_\t0\troot\t_\t_\n2\tlives\tl\tVERB\t_\t_\t0\troot\t_\t_\n\n1\tOmar\to\tPROPN\t_\t_\t0\troot\t_\t_\n",
        "CoNLL-U under another name", learned=("/PROPN/VERB", "/PROPN"), warns=("W217",)),
    shape("words-by-row", "a.csv", by_word("Sentence #,Word,POS,Tag"), "one word a row, with its sentence", warns=("W239",)),
    shape("words-by-row-once", "a.csv", by_word("Sentence #,Word,POS,Tag", filled=False), "the sentence at its first word only",
          warns=("W239",)),
    shape("words-by-row-auto", "a.csv", by_word("Sentence #,Word,POS,Tag"), "the task is seen too", task=None, warns=("W239",)),
    shape("words-by-row-id", "a.csv", by_word("Sentence_ID,token,pos,ner_tag"), "other names", warns=("W239",)),
    shape("words-by-row-json", "a.jsonl",
          lines(*({"sent_id": n, "word": w, "tag": t} for n, pair in enumerate(BOTH) for w, t in zip(*pair, strict=True))),
          "in JSON", warns=("W239",)),
    shape("words-by-row-documents", "a.jsonl",
          lines(*({"doc_id": n, "sent_id": 0, "word": w, "tag": t} for n, pair in enumerate(BOTH) for w, t in zip(*pair, strict=True))),
          "sentences whose numbers begin anew in each document", warns=("W239",)),
    shape("words-by-row-blanks", "a.csv", "sentence_id,word,tag\n1,New York,B-LOC\n1,is,O\n1,far,O\n2,Anna,B-PER\n2,left,O\n",
          "a word with a blank", learned=("/B-LOC/O/O", "/B-PER/O"), warns=("W239", "W217")),
    shape("words-by-row-mapped", "a.csv", by_word("Satz,Word,POS,Tag"), "a column that is named", warns=("W239",), code="E246",
          fix="--map sentence=Satz"),
    shape("words-by-row-alone", "a.csv", by_word("Word,POS,Tag"), "no column and no blank line tells sentences apart", learned=(), code="E246"),
)  # fmt: skip
