"""Words around the field that a newcomer meets in the first days: files, programs, what a run does. Text only."""

from tunewright.config.basics import Term
from tunewright.i18n import N_

EVERYDAY: tuple[Term, ...] = (
    Term(
        N_("row"),
        N_(
            "One example to learn from: a question with its answer, a conversation, or a text with its label. In "
            "a JSONL file it is a line. `tunewright data check` shows how each is read."
        ),
        ("example", "sample", "record", "examples", "数据行", "示例", "一行"),
    ),
    Term(
        N_("padding"),
        N_(
            "Filling the shorter rows of a batch up to the longest, so that they can be computed together. "
            "Padding is never learned; it only costs time, which sorting by length and packing save."
        ),
        ("pad", "pad token", "补齐"),
    ),
    Term(
        N_("mixed precision"),
        N_(
            "Computing with 2-byte numbers (bf16 or fp16) where that does no harm, and with 4-byte ones "
            "elsewhere. `--set model.precision=bf16` asks for it; without a word the plan chooses what measured "
            "faster."
        ),
        ("amp", "autocast", "混合精度训练"),
    ),
    Term(
        N_("vLLM, Ollama"),
        N_(
            "Programs that serve a model to many users (vLLM) or on one's own machine (Ollama). `tunewright "
            "merge` makes the plain model folder that vLLM loads; for Ollama, llama.cpp's converter makes a GGUF "
            "file of it."
        ),
        ("vllm", "ollama", "llama.cpp", "llama cpp", "deployment", "deploy", "部署", "推理服务"),
    ),
    Term(
        N_("JSONL"),
        N_(
            'A text file with one JSON object in each line, which is a row: {"question": "...", "answer": "..."}. JSON, CSV, TSV, '
            "Parquet and plain text are read as well."
        ),
        ("json", "jsonl", "json lines", "ndjson", "csv", "tsv", "parquet", "file format", "数据格式", "文件格式"),
    ),
    Term(
        N_("resume"),
        N_(
            "Going on with a run that was stopped, from its last checkpoint, to the same result as without the "
            "stop: `tunewright resume last`. "
            "Settings that would make it another run are refused by name."
        ),
        ("continue training", "断点续训", "恢复训练", "恢复", "接着训练"),
    ),
    Term(
        N_("hallucination"),
        N_(
            "An answer that sounds right and is made up. Fine-tuning teaches form and habit better than facts; rows in which the "
            'right answer is "I do not know" help, as does giving the facts in the prompt.'
        ),
        ("hallucinations", "胡编"),
    ),
    Term(
        N_("CPU"),
        N_(
            "The processor that every computer has. Small models are trained on it in minutes, those of some "
            "billion parameters only on a GPU; `tunewright plan` says how long it will take here."
        ),
        ("processor", "中央处理器"),
    ),
)
