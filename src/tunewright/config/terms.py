"""The words of the field, explained: a few sentences each, read by `explain`. Text only."""

from tunewright.config.basics import BASICS
from tunewright.config.basics import Term as Term
from tunewright.config.everyday import EVERYDAY
from tunewright.i18n import N_

TERMS: tuple[Term, ...] = (
    *BASICS,
    *EVERYDAY,
    Term(
        N_("activation checkpointing"),
        N_(
            "The backward pass needs what each layer computed on the way forward. Checkpointing keeps only the "
            "input of each block and computes the rest again when it is needed: much less memory, about one more "
            "forward pass of time. The gradients are the same. It used to be called gradient checkpointing."
        ),
        ("activation_checkpointing", "gradient checkpointing", "梯度检查点", "激活重计算"),
    ),
    Term(
        N_("adapter"),
        N_(
            "The small set of trained weights that a run produces; the base model stays as it was. An adapter is a "
            "folder with adapter_config.json and adapter_model.safetensors, usually a few megabytes, and works only"
            " with the base model it was trained on."
        ),
        ("adapters", "适配层"),
    ),
    Term(
        N_("chat template"),
        N_(
            "The rule that writes a conversation as one text, with marks for who speaks. Every chat model was "
            "trained with one template and answers well only with that one; so the tokenizer's own is used, and it "
            "is saved with the adapter."
        ),
        ("chat_template", "聊天模板", "提示模板"),
    ),
    Term(
        N_("checkpoint"),
        N_(
            "The whole state of a run at one step: adapter, optimizer, learning rate schedule, random numbers, "
            "place in the data. A run goes on from a checkpoint as if it had never stopped. What you keep in the "
            "end is the adapter, not a checkpoint."
        ),
        ("save_total_limit", "checkpoints", "存档"),
    ),
    Term(
        N_("data gate"),
        N_(
            "The check that every row passes before the first step: readable, complete, not empty, not cut away, "
            "with an answer to learn and an end token. Each row is either used or named with a reason; nothing is "
            "dropped in silence."
        ),
        ("skip_bad",),
    ),
    Term(
        N_("early stopping"),
        N_(
            "Training ends when the held-out loss has not improved for some measurements, because further steps "
            "would only learn the rows by heart. The step with the lowest held-out loss is the one that is kept."
        ),
        ("early_stopping_patience", "提前停止"),
    ),
    Term(
        N_("effective batch"),
        N_(
            "The rows that one optimizer step learns from: rows per micro-batch x accumulated micro-batches x "
            "devices. It shapes the training; how it is cut into micro-batches changes only memory and speed."
        ),
    ),
    Term(
        N_("eject"),
        N_(
            "Writing the run as one plain script for PEFT and transformers, without Tunewright. It shows what was "
            "done and lets you go on by hand."
        ),
    ),
    Term(
        N_("end token"),
        N_(
            "The token that says an answer is over. A model learns to stop only if the end token stands in the "
            "trained part of the rows; a model that never saw it there goes on talking."
        ),
        ("eos",),
    ),
    Term(
        N_("epoch"),
        N_(
            "One pass through all training rows. One to three epochs are usual; with more, a small data set is soon"
            " learned by heart instead of understood."
        ),
        ("num_train_epochs", "epochs", "轮", "轮数", "训练轮数"),
    ),
    Term(
        N_("exact match"),
        N_(
            "The share of held-out answers that equal the reference answer; JSON is compared by content. A strict "
            "measure: good for labels and structured output, too strict for free text, where many answers are right."
        ),
        ("em", "精确匹配"),
    ),
    Term(
        N_("field F1"),
        N_(
            "For answers that are JSON objects: how well the fields agree with the reference. A field counts as "
            "found if key and value are both right; F1 is the harmonic mean of the share of given fields that are "
            "right and the share of wanted fields that were given."
        ),
        ("F1",),
    ),
    Term(
        N_("fp32, bf16, fp16"),
        N_(
            "Formats of numbers. fp32 has 4 bytes; bf16 has 2 bytes and the range of fp32, but only two to three "
            "decimal digits; fp16 has 2 bytes, more digits and a narrow range in which gradients can vanish or "
            "overflow. Half the bytes means half the memory, but is faster only on hardware built for it: some CPUs"
            " are slower in bf16 than in fp32."
        ),
        ("fp32", "bf16", "fp16", "半精度", "float16", "bfloat16", "float32"),
    ),
    Term(
        N_("GGUF"),
        N_(
            "The one-file model format of llama.cpp and Ollama, mostly with quantized weights. Tunewright reads it "
            "as a base model by turning it into plain weights once."
        ),
    ),
    Term(
        N_("gradient accumulation"),
        N_(
            "Adding up the gradients of several micro-batches before one optimizer step. The step is that of one "
            "large batch, with the memory of a small one; it only takes longer."
        ),
        ("gradient_accumulation_steps", "梯度累加"),
    ),
    Term(
        N_("held-out"),
        N_(
            "Rows that are kept out of training and used to measure. Only on rows it never saw can a model show "
            "that it learned the task and not the rows."
        ),
        (
            "holdout",
            "validation",
            "test set",
            "留出样本",
            "验证集",
            "测试集",
            "holdout set",
            "validation set",
            "留出集",
        ),
    ),
    Term(
        N_("label tokens"),
        N_(
            "The tokens the loss is computed on. By default these are the answers with their end tokens; prompts "
            "are read but not learned, and padding never counts."
        ),
        ("train_on",),
    ),
    Term(
        N_("leak"),
        N_(
            "A row that stands both in the training rows and in the held-out rows. It makes the score look better "
            "than the model is, so leaked rows are taken out of held-out, and the number is reported."
        ),
    ),
    Term(
        N_("learning rate"),
        N_(
            "How far the weights move in one step. Too high and the loss jumps or becomes NaN, too low and nothing "
            "is learned. LoRA takes higher rates than full fine-tuning: usually 1e-4 to 5e-4, small models up to "
            "1e-3."
        ),
        ("learning_rate", "lr", "步长"),
    ),
    Term(
        N_("LoRA"),
        N_(
            "Low-rank adaptation: the weights W of a layer stay frozen, and a product of two thin matrices B A is "
            "trained beside them; the layer computes W x + (lora_alpha / r) B A x. Usually less than two percent of"
            " the weights are trained, so gradients and optimizer take little memory. Afterwards the update can be "
            "merged into W."
        ),
        ("low-rank adaptation", "低秩适配"),
    ),
    Term(
        N_("lora_alpha"),
        N_(
            "The scale of the LoRA update: it is multiplied by lora_alpha / r. Twice the rank is usual. Raising it "
            "acts much like raising the learning rate of the adapter."
        ),
        ("alpha", "scaling"),
    ),
    Term(
        N_("merge"),
        N_(
            "Adding the adapter's update into the base weights, so that one ordinary model remains which loads "
            "without PEFT and is as fast as the base. It is as large as the base model, and the adapter cannot be "
            "taken off again."
        ),
        ("合并权重", "merging"),
    ),
    Term(
        N_("micro-batch"),
        N_(
            "The rows that go through the model at once. Its size decides the peak of memory; a step may consist of"
            " several micro-batches."
        ),
        ("per_device_train_batch_size", "微批次", "per device batch"),
    ),
    Term(
        N_("optimizer"),
        N_(
            "The rule that turns gradients into a change of the weights. AdamW, the default, keeps two more numbers"
            " for every trained weight; with an adapter these are few."
        ),
        ("optim", "adamw", "adam"),
    ),
    Term(
        N_("overfitting"),
        N_(
            "The model learns the training rows by heart: training loss goes on falling while held-out loss rises. "
            "What helps: more or more varied rows, fewer epochs, a lower rank, some dropout, early stopping."
        ),
        ("overfit",),
    ),
    Term(
        N_("packing"),
        N_(
            "Putting several short rows into one sequence, so that no time is spent on padding. Done right, the "
            "rows do not see each other and the loss is the same as without packing."
        ),
        ("序列打包", "样本打包"),
    ),
    Term(
        N_("perplexity"),
        N_(
            "The exponential of the mean loss per token: among how many equally likely tokens the model hesitates "
            "on average. 1 is perfect. Only models with the same tokenizer can be compared by it."
        ),
    ),
    Term(
        N_("plan"),
        N_(
            "What a run is going to do, worked out before it starts: every `auto` replaced by a value with a "
            "reason, memory by part, time and disk. After the run the measured figures stand beside the promised "
            "ones."
        ),
    ),
    Term(
        N_("precision"),
        N_(
            "The format of numbers the model computes in: fp32, bf16 or fp16. It is not quantization, which is "
            "about how frozen weights are stored."
        ),
    ),
    Term(
        N_("preset"),
        N_(
            "A starting point by how hard the task is: simple, medium or complex. It names the roles of the layers "
            "to adapt, a rank and an alpha; single values in the config override it."
        ),
    ),
    Term(
        N_("quantization"),
        N_(
            "Storing the frozen base weights in 8 or 4 bits instead of 16 or 32. The base takes a half or a quarter"
            " of the memory it takes in 16 bits, at a small loss of quality; the adapter itself is not quantized."
        ),
        ("4bit", "8bit", "quantized", "int8", "int4", "quantisation"),
    ),
    Term(
        N_("rank"),
        N_(
            "The width r of the two thin matrices of LoRA, and so the number of directions in which a layer can "
            "change. Parameters grow in proportion to it. 8 to 32 is usual; a larger rank learns more, needs more "
            "memory and overfits sooner."
        ),
        ("r", "lora rank"),
    ),
    Term(
        N_("safetensors"),
        N_(
            "A file format that holds tensors and nothing else. Unlike pickled .bin files it cannot run code when "
            "it is loaded, so weights are read from safetensors or GGUF only, and always written as safetensors."
        ),
    ),
    Term(
        N_("step"),
        N_(
            "One update of the trained weights by the optimizer. Steps per epoch = rows / effective batch. Learning"
            " rate, evaluation and checkpoints all count in steps."
        ),
        ("max_steps",),
    ),
    Term(
        N_("target modules"),
        N_(
            "The layers that get an adapter. Query and value projections are the minimum; all attention layers are "
            "the usual choice; all linear layers help with new skills. Names differ between model families, so they"
            " are checked against the model before anything starts."
        ),
        ("target_modules",),
    ),
    Term(
        N_("warm-up"),
        N_(
            "The first steps, in which the learning rate rises from zero to its full value. It keeps the first, "
            "noisy gradients from throwing the weights off."
        ),
        ("warmup_steps", "warmup", "热身"),
    ),
)
