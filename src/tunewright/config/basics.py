"""The commonest words of the field, as a newcomer asks for them. Text only; `spec.terms` adds those of a run itself.

Chinese names come from the catalogue of translations; what else people write in either language stands under `keys`.
"""

from dataclasses import dataclass

from tunewright.i18n import N_


@dataclass(frozen=True)
class Term:
    """One word of the field; `keys` are config keys it belongs to and other names for it, in English and Chinese."""

    name: str
    text: str
    keys: tuple[str, ...] = ()


BASICS: tuple[Term, ...] = (
    Term(
        N_("accuracy"),
        N_(
            "The share of held-out rows whose label is right. Where one label is most of the rows, naming it always is"
            " right as often: so it is shown beside that baseline, and macro F1 beside both."
        ),
        ("acc", "正确率"),
    ),
    Term(
        N_("attention"),
        N_(
            "The layers in which each token takes in what other tokens say, through query, key, value and output "
            "projections. LoRA is mostly put on these projections."
        ),
        ("self-attention", "注意力机制"),
    ),
    Term(
        N_("base model"),
        N_(
            "The model that training starts from; its weights stay as they are, and the adapter is trained beside "
            "them. Every score of a run is held against the base model's own."
        ),
        ("base", "foundation model", "pretrained model", "基础模型", "底座模型", "预训练模型"),
    ),
    Term(
        N_("baseline"),
        N_(
            "What one gets without a model: the same answer for every row, the most frequent label or the mean number."
            " A trained model that is no better has learned nothing of use."
        ),
        ("majority class",),
    ),
    Term(
        N_("batch"),
        N_(
            "The rows that are computed together. Two sizes matter: the micro-batch, which decides the memory, and the"
            " effective batch, from which one step learns."
        ),
        ("batch size", "batches", "批", "批次", "批大小", "批量"),
    ),
    Term(
        N_("BLEU"),
        N_(
            "A score of written answers, made for translation: how many runs of one to four words also stand in the "
            "reference. Many right answers are worded otherwise, so a low value does not prove a bad answer."
        ),
        ("sacrebleu",),
    ),
    Term(
        N_("catastrophic forgetting"),
        N_(
            "Fine-tuning on a narrow task may cost a model what it could do before. Adapters of low rank, few passes "
            "and other kinds of rows in the data lessen it; `tunewright eval RUN --benchmark TASK` measures it."
        ),
        ("forgetting", "遗忘"),
    ),
    Term(
        N_("causal language model"),
        N_(
            "A model that writes on, one token after another, seeing only what stands before: the kind of Llama, Qwen "
            "and GPT. `--task causal_lm` trains it on conversations, on prompts with answers, or on plain text."
        ),
        ("causal_lm", "CLM", "decoder", "language model", "llm", "大语言模型", "语言模型", "因果语言建模"),
    ),
    Term(
        N_("confidence interval"),
        N_(
            "The range in which the true value lies with 95 % certainty, as far as the held-out rows can tell. If the "
            "interval of a difference holds zero, the difference may be chance; more rows make it narrower."
        ),
        ("interval", "95 % interval", "区间", "95% 置信区间"),
    ),
    Term(
        N_("context length"),
        N_(
            "How many tokens a model can read at once, prompt and answer together. Memory grows with the length that "
            "is used, so a run takes what its rows need: data.max_length."
        ),
        ("context window", "context", "max_length", "max_position_embeddings", "上下文", "上下文窗口", "最大长度"),
    ),
    Term(
        N_("data set"),
        N_(
            "The rows to learn from, in a file, a folder or on the Hub: conversations, prompts with answers, texts "
            "with labels, or plain text. `tunewright data check FILE` accounts for every row."
        ),
        ("dataset", "training data", "training set", "训练数据", "训练集"),
    ),
    Term(
        N_("DoRA"),
        N_(
            "LoRA with the length of each weight column trained on its own, beside its direction. It often learns a "
            "little more at the same rank, and takes more time in training: --method lora --set peft.use_dora=true."
        ),
        ("use_dora",),
    ),
    Term(
        N_("dropout"),
        N_(
            "Setting a random share of numbers to zero at each training step, so that the model cannot lean on single "
            "ones. It helps against overfitting where rows are few; it is off when answers are written."
        ),
        ("lora_dropout", "丢弃", "随机失活"),
    ),
    Term(
        N_("embedding"),
        N_(
            "The table that gives each token of the vocabulary its vector, the first thing a model computes. It is "
            "large, and stays frozen unless peft.modules_to_save names it."
        ),
        ("embeddings", "词嵌入", "嵌入层"),
    ),
    Term(
        N_("few-shot"),
        N_(
            "Showing the base model a few solved examples in its prompt instead of training it. `tunewright compare` "
            "asks the base model so, to show whether training was worth it."
        ),
        ("shots", "in-context learning", "few shot prompting", "少样本", "上下文学习"),
    ),
    Term(
        N_("fine-tuning"),
        N_(
            "Going on with the training of a finished model on rows of one's own, so that it answers as these do. Here"
            " it is done with an adapter; supervised fine-tuning (SFT) means that the right answers are given."
        ),
        ("finetuning", "finetune", "sft", "supervised fine-tuning", "微调训练", "监督微调", "有监督微调"),
    ),
    Term(
        N_("full fine-tuning"),
        N_(
            "Training all weights of a model instead of an adapter. It needs several times the memory and writes a "
            "model of full size; `tunewright compare MODEL DATA --full` trains every linear layer as a whole, for "
            "comparison."
        ),
        ("full", "full finetuning", "full parameter", "全参数微调", "全量微调", "全参微调", "全参数"),
    ),
    Term(
        N_("GPU"),
        N_(
            "A processor that computes thousands of numbers at once and has memory of its own. A run takes one by "
            'itself if torch sees it; `tunewright doctor` says so, and `tunewright plan --device "24GB GPU"` plans for'
            " one that is not here."
        ),
        ("graphics card", "cuda", "nvidia", "显卡", "图形处理器"),
    ),
    Term(
        N_("gradient"),
        N_(
            "For every trained weight, in which direction and how strongly it changes the loss. A step goes against "
            "it; a norm that jumps or is not finite is the sign of steps that are too large."
        ),
        ("gradients", "grad", "grad_norm", "梯度范数"),
    ),
    Term(
        N_("greedy decoding"),
        N_(
            "Writing an answer by always taking the most likely next token. The same question gives the same answer, "
            "so that models can be compared; sampling with a temperature draws at random instead."
        ),
        ("greedy", "sampling", "temperature", "decoding", "贪心", "温度", "采样"),
    ),
    Term(
        N_("Hub"),
        N_(
            "The site of Hugging Face, from which models and data sets are fetched by OWNER/NAME, as in "
            "Qwen/Qwen3-0.6B. HF_ENDPOINT names a mirror; what was fetched once is used without a network."
        ),
        ("hugging face", "huggingface", "hub id", "模型库"),
    ),
    Term(
        N_("hyperparameter"),
        N_(
            "A value that is set before training and not learned: learning rate, rank, epochs. The plan chooses each "
            "with a reason; `tunewright sweep` searches for better ones."
        ),
        ("hyperparameters", "setting", "超参", "超参数调优"),
    ),
    Term(
        N_("inference"),
        N_(
            "Using a model to answer, as opposed to training it. It needs no gradients and no optimizer, so far less "
            "memory; `tunewright chat` and `tunewright generate` do it."
        ),
        ("generation", "serving", "推断", "生成"),
    ),
    Term(
        N_("instruct model"),
        N_(
            "A base that was trained already to follow instructions and to answer in turns; its name mostly ends in "
            "Instruct, Chat or it. It has a chat template, and needs fewer rows than a bare base to learn a task."
        ),
        ("instruct", "instruction tuning", "chat model", "it model", "指令模型", "指令微调", "对话模型"),
    ),
    Term(
        N_("label"),
        N_(
            "What a row is to be called: one of a few names (single label), several of them, a number, or one tag for "
            "each word. In training code the word also means the tokens that the loss is computed on."
        ),
        ("labels", "class", "classes", "类别", "标注"),
    ),
    Term(
        N_("learning rate schedule"),
        N_(
            "How the learning rate changes from step to step: it rises during the warm-up and then falls, along a "
            "cosine or a line. The falling end lets the weights settle; a loss that still falls there needs more "
            "passes."
        ),
        ("scheduler", "lr scheduler", "lr_scheduler_type", "cosine", "学习率计划", "余弦退火"),
    ),
    Term(
        N_("logits"),
        N_(
            "The numbers that a model gives every token or label before they become probabilities. Two models are the "
            "same if their logits are equal up to rounding: so merges are checked."
        ),
        ("logit",),
    ),
    Term(
        N_("loss"),
        N_(
            "How wrong the model is: the mean of minus the logarithm of the probability that it gave the right tokens "
            "or labels. 0 is perfect; training loss should fall, and the loss of held-out rows says whether it learned"
            " the task."
        ),
        (
            "loss function",
            "training loss",
            "train loss",
            "cross entropy",
            "held-out loss",
            "损失函数",
            "训练损失",
            "留出损失",
            "交叉熵",
        ),
    ),
    Term(
        N_("macro F1"),
        N_(
            "For each label the F1 of what was named and what should have been, then the mean over all labels. Rare "
            "labels count as much as frequent ones, unlike in accuracy."
        ),
        ("macro_f1", "宏平均", "宏 F1"),
    ),
    Term(
        N_("NaN"),
        N_(
            "Not a number: what comes of an overflow or of zero by zero. A loss that becomes NaN has lost the run; it "
            "stops there with the step before it saved. A lower learning rate or fp32 helps."
        ),
        ("nan loss", "inf", "not a number", "非数"),
    ),
    Term(
        N_("out of memory"),
        N_(
            "More memory was needed than there is. A plan says before whether a run fits; if it happens all the same, "
            "the run goes on with smaller micro-batches, which change no result."
        ),
        ("oom", "内存不足", "显存不足", "爆显存"),
    ),
    Term(
        N_("parameters"),
        N_(
            "The numbers that a model is made of, and that training changes: 135 million in smollm2, 7 billion in a 7B"
            " model. In fp32 each takes 4 bytes, in bf16 2. Of an adapter only its own few are trained."
        ),
        ("parameter", "weights", "number of parameters", "参数量", "权重"),
    ),
    Term(
        N_("PEFT"),
        N_(
            "Parameter-efficient fine-tuning: a small adapter is trained and the model stays frozen. It is also the "
            "name of Hugging Face's library for it, which Tunewright stands on and whose format its adapters have."
        ),
        ("parameter-efficient fine-tuning", "parameter efficient", "参数高效微调", "高效微调"),
    ),
    Term(
        N_("preference training"),
        N_(
            "Training on pairs of better and worse answers, or on judged ones (DPO, KTO, ORPO), or on rewards (PPO, "
            "GRPO), mostly after fine-tuning. Tunewright does not do it; it learns from right answers alone."
        ),
        ("dpo", "rlhf", "orpo", "kto", "ppo", "grpo", "reinforcement learning", "偏好训练", "偏好优化", "强化学习"),
    ),
    Term(
        N_("prompt"),
        N_(
            "What a model is asked: the text before its answer, with the system turn and earlier turns of a "
            "conversation. In training it is read and not learned."
        ),
        ("prompts", "question", "提示", "问题"),
    ),
    Term(
        N_("QLoRA"),
        N_(
            "LoRA on a base whose frozen weights are stored in 4 bits, so that a model of several billion parameters "
            "fits into the memory of one graphics card: --method lora --set model.quantization=4bit. The adapter "
            "itself is not quantized."
        ),
        ("4bit lora", "量化 LoRA"),
    ),
    Term(
        N_("ROUGE"),
        N_(
            "A score of written answers, made for summaries: how much of the reference's words, pairs of words, or "
            "longest common order of words (ROUGE-L) an answer holds. 100 % means word for word."
        ),
        ("rouge-l", "rougel", "rouge1", "rouge2"),
    ),
    Term(
        N_("seed"),
        N_(
            "The number from which all random choices are made: start values, dropout, the order of rows. The same "
            "seed gives the same run on the same machine; several seeds show how much of a score is chance."
        ),
        ("random seed", "data_seed", "随机数种子", "种子"),
    ),
    Term(
        N_("sequence to sequence"),
        N_(
            "A model that reads one text as a whole and writes another, such as T5 and BART: translation, summaries, "
            "rewriting. `--task seq2seq` trains it on prompts with answers."
        ),
        ("seq2seq", "encoder-decoder", "summarization", "translation", "编码器-解码器", "摘要", "翻译"),
    ),
    Term(
        N_("system prompt"),
        N_(
            "The first turn of a conversation, which tells the model who it is and how to answer. What the training "
            "rows begin with should stand there when the model is used, too; data.system gives one to all rows."
        ),
        ("system", "system turn", "system message", "系统消息", "系统提示"),
    ),
    Term(
        N_("text classification"),
        N_(
            "Giving a whole text, or a pair of texts, a label: intent, mood, topic, or a number. `--task seq_cls` puts"
            " a small head on the model, which is trained with the adapter."
        ),
        ("classification", "seq_cls", "sequence classification", "sentiment", "分类", "序列分类", "情感分析"),
    ),
    Term(
        N_("token"),
        N_(
            "The piece of text that a model reads and writes at once: a word, a part of one, a character. An English "
            "word is about 1.3 tokens, a Chinese character about one; lengths, speed and cost are counted in them."
        ),
        ("tokens", "词", "标记", "字节对"),
    ),
    Term(
        N_("token classification"),
        N_(
            "Giving every word of a text a tag: names of people and places, parts of speech. `--task token_cls` reads "
            "CoNLL files, and rows with words and tags."
        ),
        ("token_cls", "ner", "named entity recognition", "tagging", "命名实体识别", "序列标注", "实体识别"),
    ),
    Term(
        N_("tokenizer"),
        N_(
            "What cuts a text into tokens and gives them their numbers. Each model has its own; where it does not know"
            " the characters of a language, it can learn nothing of them."
        ),
        ("vocabulary", "分词", "词表"),
    ),
    Term(
        N_("transformer"),
        N_(
            "The build of today's language models: blocks of attention and of feed-forward layers, one upon the other."
            " transformers, in small letters, is Hugging Face's library of such models."
        ),
        ("transformers", "变换器"),
    ),
    Term(
        N_("underfitting"),
        N_(
            "The model has not learned what the rows hold: training loss is still high, or still fell when training "
            "ended. More epochs, a higher learning rate or a larger rank help; `tunewright diagnose` tells which."
        ),
        ("undertrained", "欠训练"),
    ),
    Term(
        N_("VRAM"),
        N_(
            "The memory of a graphics card, where weights, gradients and activations must fit. A plan counts it part "
            "by part before anything starts; smaller micro-batches, activation checkpointing and 4 bits save most."
        ),
        ("gpu memory", "video memory", "device memory", "显卡内存", "gpu 内存"),
    ),
    Term(
        N_("weight decay"),
        N_(
            "Pulling the trained weights a little towards zero at each step, against overfitting. With an adapter it "
            "matters little, as few weights are trained."
        ),
        ("weight_decay", "regularization", "正则化"),
    ),
)
